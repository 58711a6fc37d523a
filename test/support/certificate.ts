/** Makes certificates with openssl, in a temporary directory that is removed at the end. */
import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export interface Certificate {
  /** PEM; the certificates of the issuers may follow the first one. */
  cert: string;
  key: string;
}

const made = new Map<string, Certificate>();

/** A self-signed certificate for these DNS names, valid where it is given as `ca`. Made once a process for the same names. */
export function selfSignedCertificate(...names: [string, ...string[]]): Certificate {
  return once(names.join(), (directory) => {
    const extensions = ["-addext", `subjectAltName=${namesOf(names)}`];
    return make(directory, ["-x509", ...ofDays(2), ...subject(names[0]), ...extensions]);
  });
}

/** A self-signed certificate with a common name and without subject alternative names. */
export function commonNameCertificate(name: string): Certificate {
  return once(`CN ${name}`, (directory) => make(directory, ["-x509", ...ofDays(2), ...subject(name)]));
}

/** A certificate authority. @param key  a different key makes another authority with the same name */
export function certificateAuthority(name: string, key = 1): Certificate {
  return once(`CA ${name} ${key}`, (directory) => make(directory, ["-x509", ...ofDays(2), ...subject(name)]));
}

export interface Issue {
  names: [string, ...string[]];
  /** It may issue certificates. */
  isAuthority?: boolean;
  /** The extended key usage: `clientAuth`. */
  purpose?: string;
  /** Without an authority key identifier: it names its issuer, but not the key. */
  hidesIssuerKey?: boolean;
}

/** A certificate that the authority signs. */
export function issuedBy(authority: Certificate, issue: Issue): Certificate {
  return once(`${authority.cert} ${JSON.stringify(issue)}`, (directory) => {
    const ca = path.join(directory, "ca.pem");
    const caKey = path.join(directory, "ca-key.pem");
    writeFileSync(ca, authority.cert);
    writeFileSync(caKey, authority.key);
    const { names, isAuthority, purpose, hidesIssuerKey } = issue;
    // biome-ignore format: one option and its value a line
    return make(directory, [
      "-x509", "-CA", ca, "-CAkey", caKey, ...ofDays(2), ...subject(names[0]),
      "-addext", `subjectAltName=${namesOf(names)}`,
      "-addext", `basicConstraints=critical,CA:${isAuthority === true ? "TRUE" : "FALSE"}`,
      ...(purpose === undefined ? [] : ["-addext", `extendedKeyUsage=${purpose}`]),
      ...(hidesIssuerKey === true ? ["-addext", "authorityKeyIdentifier=none"] : []),
    ]);
  });
}

/** The TLSA record of a certificate as text: usage, selector, matching type, data (RFC 6698 §2.2). */
export function tlsaOf({ cert }: Certificate, usage: number, selector: number, matching: number): string {
  const certificate = new X509Certificate(cert);
  const octets =
    selector === 0 ? certificate.raw : certificate.publicKey.export({ type: "spki", format: "der" });
  const data =
    matching === 0
      ? octets
      : createHash(matching === 1 ? "sha256" : "sha512")
          .update(octets)
          .digest();
  return `${usage} ${selector} ${matching} ${data.toString("hex")}`;
}

function once(key: string, build: (directory: string) => Certificate): Certificate {
  const known = made.get(key);
  if (known !== undefined) return known;
  const directory = mkdtempSync(path.join(tmpdir(), "postern-certificate-"));
  try {
    const certificate = build(directory);
    made.set(key, certificate);
    return certificate;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function make(directory: string, options: string[]): Certificate {
  const key = path.join(directory, "key.pem");
  const cert = path.join(directory, "cert.pem");
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  execFileSync("openssl", ["req", ...newKey, "-out", cert, ...options], { stdio: "ignore" });
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}

function ofDays(days: number): string[] {
  return ["-days", `${days}`];
}

function subject(name: string): string[] {
  return ["-subj", `/CN=${name}`];
}

function namesOf(names: string[]): string {
  return names.map((name) => `DNS:${name}`).join();
}
