/** Certificates made by the tests, with openssl, in a directory of their own that is gone afterwards. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export interface Certificate {
  /** PEM; it is its own issuer, so giving it as `ca` makes it valid. */
  cert: string;
  key: string;
}

const made = new Map<string, Certificate>();

/** Self-signed, for these DNS names; made once a process for the same names. */
export function selfSignedCertificate(...names: [string, ...string[]]): Certificate {
  const known = made.get(names.join());
  if (known !== undefined) return known;
  const directory = mkdtempSync(path.join(tmpdir(), "postern-certificate-"));
  try {
    const key = path.join(directory, "key.pem");
    const cert = path.join(directory, "cert.pem");
    const san = `subjectAltName=${names.map((name) => `DNS:${name}`).join()}`;
    execFileSync(
      "openssl",
      // biome-ignore format: one option and its value a line
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", key, "-out", cert, "-subj", `/CN=${names[0]}`, "-addext", san],
      { stdio: "ignore" },
    );
    const certificate = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
    made.set(names.join(), certificate);
    return certificate;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
