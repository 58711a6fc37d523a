/** Whether a certificate is for a host (RFC 6125 §6.4). */
import type { X509Certificate } from "node:crypto";

/**
 * A wildcard stands for a whole label.
 * @param name        in A-labels
 * @param commonName  whether that counts, in a certificate without subject alternative names
 */
export function isForHost(certificate: X509Certificate, name: string, commonName: boolean): boolean {
  // OpenSSL would take every name below that one.
  if (name.startsWith(".")) return false;
  const subject = commonName ? "default" : "never";
  return certificate.checkHost(name, { subject, partialWildcards: false }) !== undefined;
}
