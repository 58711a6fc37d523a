/**
 * The certificates of the listeners, as their files are at each reading. Where the files of one that is in use cannot be
 * used any more, the one before stays in use, and an operator hears of it: a renewal that went wrong must not turn off TLS.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describeFileError } from "../../../shared/config/files.ts";
import type { Logger } from "../../../shared/runtime/log.ts";

export interface CertificateFiles {
  cert: string;
  key: string;
}

interface Certificate {
  cert: Buffer;
  key: Buffer;
}

export class Certificates {
  readonly #log: Logger;
  readonly #before: Certificates | undefined;
  readonly #inUse = new Map<string, Certificate>();
  readonly #faults = new Map<string, string>();

  /** @param before  those that are in use now; absent at the start */
  constructor(log: Logger, before?: Certificates) {
    this.#log = log;
    this.#before = before;
  }

  /** @throws Error when the files cannot be used, and none of them has been before */
  read(files: CertificateFiles): Certificate {
    const id = `${files.cert}\n${files.key}`;
    const before = this.#inUse.get(id) ?? this.#before?.certificateOf(id);
    const found = readCertificate(files);
    if (typeof found !== "string") {
      this.#inUse.set(id, found);
      if (before !== undefined && !before.cert.equals(found.cert)) this.#log.info(describeNew(files, found));
      return found;
    }
    if (before === undefined) throw new Error(found);
    this.#inUse.set(id, before);
    const fault = `${found}; the certificate before is still in use`;
    const isKnown = this.#faults.has(id) || this.#before?.faultOf(id) === fault;
    if (!isKnown) this.#log.error(fault);
    this.#faults.set(id, fault);
    return before;
  }

  private certificateOf(id: string): Certificate | undefined {
    return this.#inUse.get(id);
  }

  private faultOf(id: string): string | undefined {
    return this.#faults.get(id);
  }

  /** One line for each certificate whose files cannot be used. */
  faults(): string[] {
    return [...this.#faults.values()];
  }
}

/** @returns the certificate, or one line that says why it cannot be used */
function readCertificate({ cert, key }: CertificateFiles): string | Certificate {
  const read = <T>(file: string, parse: (content: Buffer) => T): { content: Buffer; parsed: T } | string => {
    try {
      const content = readFileSync(file);
      return { content, parsed: parse(content) };
    } catch (error) {
      return describeFileError(file, error);
    }
  };
  const certificate = read(cert, (content) => new X509Certificate(content));
  if (typeof certificate === "string") return certificate;
  const privateKey = read(key, (content) => createPrivateKey(content));
  if (typeof privateKey === "string") return privateKey;
  // Between the two files of a renewal there is a moment in which they do not belong together.
  if (!certificate.parsed.checkPrivateKey(privateKey.parsed))
    return `${key} is not the key of the certificate in ${cert}`;
  return { cert: certificate.content, key: privateKey.content };
}

function describeNew({ cert }: CertificateFiles, { cert: content }: Certificate): string {
  return `${cert}: a new certificate is in use, valid until ${new X509Certificate(content).validTo}`;
}
