/** Password hashes of scrypt (RFC 7914): their text with the parameters in it, and how passwords are checked against them. */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

export interface PasswordHash {
  /** N: a power of two. */
  cost: number;
  /** r */
  blockSize: number;
  /** p */
  parallelization: number;
  salt: Buffer;
  key: Buffer;
}

type Parameters = Omit<PasswordHash, "salt" | "key">;

/** 32 MB and some 100 ms. */
const usualParameters: Parameters = { cost: 2 ** 15, blockSize: 8, parallelization: 1 };
const saltBytes = 16;
const keyBytes = 32;
/** Of one check: a user file must not take the memory or the processor of the gateway. */
const maxMemoryBytes = 64 * 1024 ** 2;
const maxWork = 2 ** 22;
const minCost = 2 ** 10;

/** `scrypt$32768$8$1$SALT$KEY`, salt and key in base64. */
export function formatPasswordHash({ cost, blockSize, parallelization, salt, key }: PasswordHash): string {
  return ["scrypt", cost, blockSize, parallelization, salt.toString("base64"), key.toString("base64")].join(
    "$",
  );
}

/** @returns the hash, or what is wrong with the text; that never quotes it */
export function parsePasswordHash(text: string): PasswordHash | string {
  const match = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/]+=*)\$([A-Za-z0-9+/]+=*)$/.exec(
    text,
  );
  if (match === null) return "is not scrypt$N$r$p$SALT$KEY, salt and key in base64";
  const [cost = 0, blockSize = 0, parallelization = 0] = match.slice(1, 4).map(Number);
  const [salt, key] = [Buffer.from(match[4] ?? "", "base64"), Buffer.from(match[5] ?? "", "base64")];
  if (cost < minCost || (cost & (cost - 1)) !== 0) return `needs a power of two from ${minCost} on for N`;
  if (blockSize < 1 || parallelization < 1) return "needs 1 or more for r and p";
  if (128 * cost * blockSize > maxMemoryBytes || cost * blockSize * parallelization > maxWork)
    return "asks for more than 64 MB of memory, or for more than 16 times the usual work";
  if (salt.length < 8 || salt.length > 64) return "needs a salt of 8 to 64 octets";
  if (key.length < 16 || key.length > 64) return "needs a key of 16 to 64 octets";
  return { cost, blockSize, parallelization, salt, key };
}

export async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = randomBytes(saltBytes);
  return { ...usualParameters, salt, key: await derive(password, salt, keyBytes, usualParameters) };
}

/** In constant time for hashes of the same parameters. */
export async function matchesPassword(password: string, hash: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, hash.salt, hash.key.length, hash), hash.key);
}

/** A hash that no password matches, for as much work as `like` takes. */
export function decoyHash(like: PasswordHash | undefined): PasswordHash {
  const { cost, blockSize, parallelization } = like ?? usualParameters;
  const length = like?.key.length ?? keyBytes;
  return { cost, blockSize, parallelization, salt: randomBytes(saltBytes), key: randomBytes(length) };
}

function derive(password: string, salt: Buffer, length: number, parameters: Parameters): Promise<Buffer> {
  const { cost: N, blockSize: r, parallelization: p } = parameters;
  return new Promise((resolve, reject) => {
    // OpenSSL counts a little more than 128 N r.
    scrypt(password, salt, length, { N, r, p, maxmem: 2 * maxMemoryBytes }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
