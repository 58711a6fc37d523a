/** The files that the configuration names: makes their paths absolute, and reads certificates and keys to check them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { parseUserList } from "../users/user-list.ts";
import type { Finding, Path } from "./config-error.ts";

import type { Config } from "./schema.ts";

/** The configuration with `data` and all file names resolved against the configuration file's directory. */
export function resolveFiles(config: Config, directory: string): Config {
  const absolute = (file: string) => path.resolve(directory, file);
  const pair = <T extends { cert: string; key: string }>(given: T): T => ({
    ...given,
    cert: absolute(given.cert),
    key: absolute(given.key),
  });
  const certificates = (given: Certificates): Certificates => ({
    ...pair(given),
    sni: Object.fromEntries(
      Object.entries(given.sni).map(([name, certificate]) => [name, pair(certificate)]),
    ),
  });
  return {
    ...config,
    data: absolute(config.data),
    listeners: config.listeners.map((listener) =>
      listener.tls === undefined ? listener : { ...listener, tls: certificates(listener.tls) },
    ),
    ...(config.tls === undefined ? {} : { tls: certificates(config.tls) }),
    ...(config.auth?.users === undefined
      ? {}
      : { auth: { ...config.auth, users: { file: absolute(config.auth.users.file) } } }),
    ...(config.redis?.tls === undefined
      ? {}
      : { redis: { ...config.redis, tls: resolveRedisTls(config.redis.tls, absolute) } }),
  };
}

type Certificates = NonNullable<Config["tls"]>;
type RedisTls = NonNullable<NonNullable<Config["redis"]>["tls"]>;

function resolveRedisTls(tls: RedisTls, absolute: (file: string) => string): RedisTls {
  return {
    ...tls,
    ...(tls.ca === undefined ? {} : { ca: absolute(tls.ca) }),
    ...(tls.cert === undefined ? {} : { cert: absolute(tls.cert) }),
    ...(tls.key === undefined ? {} : { key: absolute(tls.key) }),
  };
}

/** Files whose changes a running service takes: certificates, their keys and users. @param config  with absolute paths */
export function watchedFiles(config: Config): string[] {
  const certificates = [config.tls, ...config.listeners.map(({ tls }) => tls)].filter(
    (tls) => tls !== undefined,
  );
  const pairs = certificates.flatMap((tls) => [tls, ...Object.values(tls.sni)]);
  const users = config.auth?.users === undefined ? [] : [config.auth.users.file];
  return [...new Set([...pairs.flatMap(({ cert, key }) => [cert, key]), ...users])];
}

/** @param config  with absolute paths */
export function checkFiles(config: Config): Finding[] {
  const tls = config.redis?.tls;
  return [
    ...(config.tls === undefined ? [] : checkCertificates(["tls"], config.tls)),
    ...config.listeners.flatMap((listener, index) =>
      listener.tls === undefined ? [] : checkCertificates(["listeners", index, "tls"], listener.tls),
    ),
    ...(config.auth?.users === undefined
      ? []
      : checkUserFile(["auth", "users", "file"], config.auth.users.file)),
    ...(tls?.ca === undefined ? [] : checkFile(["redis", "tls", "ca"], tls.ca, readCertificate)),
    ...(tls?.cert === undefined || tls.key === undefined
      ? []
      : checkPair(["redis", "tls"], { cert: tls.cert, key: tls.key })),
  ];
}

function checkCertificates(place: Path, certificates: Certificates): Finding[] {
  return [
    ...checkPair(place, certificates),
    ...Object.entries(certificates.sni).flatMap(([name, pair]) => checkPair([...place, "sni", name], pair)),
  ];
}

function checkPair(place: Path, pair: { cert: string; key: string }): Finding[] {
  const findings = [
    ...checkFile([...place, "cert"], pair.cert, readCertificate),
    ...checkFile([...place, "key"], pair.key, readKey),
  ];
  if (findings.length > 0) return findings;
  if (readCertificate(pair.cert).checkPrivateKey(readKey(pair.key))) return [];
  return [{ path: [...place, "key"], message: `is not the key of the certificate in ${pair.cert}` }];
}

function checkFile(place: Path, file: string, read: (file: string) => unknown): Finding[] {
  try {
    read(file);
    return [];
  } catch (error) {
    return [{ path: place, message: describeFileError(file, error) }];
  }
}

/** A file that does not exist yet is none's fault: `postern user add` makes it. */
function checkUserFile(place: Path, file: string): Finding[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return isMissing ? [] : [{ path: place, message: describeFileError(file, error) }];
  }
  const parsed = parseUserList(text);
  return parsed.kind === "users"
    ? []
    : parsed.faults.map(({ line, message }) => ({ path: place, message: `${file}:${line}: ${message}` }));
}

/** Reads the first certificate of the file, the server's own (RFC 8446 §4.4.2). */
function readCertificate(file: string): X509Certificate {
  return new X509Certificate(readFileSync(file));
}

function readKey(file: string): ReturnType<typeof createPrivateKey> {
  return createPrivateKey(readFileSync(file));
}

/** One line that says why a file cannot be used. */
export function describeFileError(file: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return `${file} does not exist`;
    case "EACCES":
    case "EPERM":
      return `${file} may not be read by this user`;
    case "EISDIR":
      return `${file} is a directory`;
    case "ERR_MISSING_PASSPHRASE":
      return `${file} holds an encrypted key: write it without a passphrase`;
    default:
      return code.startsWith("ERR_OSSL") || code.startsWith("ERR_")
        ? `${file} holds no PEM that can be used here`
        : `${file} cannot be read: ${(error as Error).message}`;
  }
}
