/** Lines of a user file whose hashes cost next to nothing to check. */
import { scryptSync } from "node:crypto";
import { formatPasswordHash } from "../../shared/users/password-hash.ts";

export function userLine(name: string, password: string): string {
  const parameters = { cost: 1024, blockSize: 1, parallelization: 1 };
  const salt = Buffer.from(`salt of ${name}`.padEnd(8).slice(0, 64));
  const key = scryptSync(password, salt, 16, parameters);
  return `${name}:${formatPasswordHash({ ...parameters, salt, key })}\n`;
}

/** The response of AUTH PLAIN. */
export function plainResponse(user: string, password: string, identity = ""): string {
  return Buffer.from(`${identity}\0${user}\0${password}`).toString("base64");
}
