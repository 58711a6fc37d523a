/** Whether a server's certificates match its TLSA records (RFC 7672 §3, RFC 7671 §5). Pure. */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { isForHost } from "../../../net/certificate-name.ts";
import {
  daneEe,
  daneTa,
  exact,
  kindOf,
  publicKey,
  type TlsaRecord,
  wholeCertificate,
} from "../../dns/tlsa.ts";

export type DaneResult = { kind: "matches"; record: string } | { kind: "fails"; reason: string };

/** Longer chains do not occur in practice; each link costs a signature check. */
const maxDepth = 10;
/** RFC 5280 §4.2.1.12: for TLS servers, and for anything. */
const serverPurposes = ["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"];

/**
 * @param chain    the server's certificate, its issuer, the issuer's issuer, and so on
 * @param records  usable ones, from usableRecords()
 * @param names    names that the certificate may have, where usage 2 needs one (RFC 7672 §3.2.3)
 */
export function matchChain(
  chain: readonly X509Certificate[],
  records: readonly TlsaRecord[],
  names: readonly string[],
  nowMs: number,
): DaneResult {
  const [leaf] = chain;
  if (leaf === undefined) return { kind: "fails", reason: "it shows no certificate" };
  // RFC 7672 §3.1.1: the record alone binds the key to the server; names and dates of the certificate do not count.
  const own = records.find((record) => record.usage === daneEe && isOf(record, leaf));
  if (own !== undefined) return { kind: "matches", record: kindOf(own) };
  const anchors = records.filter((record) => record.usage === daneTa);
  if (anchors.length === 0)
    return { kind: "fails", reason: "its certificate is in none of its TLSA records" };
  return matchAnchor(leaf, chain, anchors, names, nowMs);
}

/**
 * RFC 7672 §3.1.2: follows the chain from the server's certificate to one that the records name, and checks every
 * signature, date and CA flag. Path lengths and name constraints are not checked: Node does not expose them.
 */
function matchAnchor(
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  anchors: readonly TlsaRecord[],
  names: readonly string[],
  nowMs: number,
): DaneResult {
  if (!isForServers(leaf)) return { kind: "fails", reason: "its certificate is not for TLS servers" };
  // RFC 7672 §3.2.3: the name must match, since an anchor may issue certificates for others too.
  if (!names.some((name) => isForHost(leaf, name, true))) {
    return { kind: "fails", reason: `its certificate is not for ${names.join(" or ")}` };
  }
  for (let depth = 0; depth < maxDepth; depth++) {
    const certificate = chain[depth];
    if (certificate === undefined) break;
    if (!isValidAt(certificate, nowMs)) {
      return { kind: "fails", reason: "a certificate of its chain has expired or is not valid yet" };
    }
    const named = depth === 0 ? undefined : anchors.find((record) => isOf(record, certificate));
    // RFC 7671 §5.2.2 and §5.2.3: the server need not send an anchor that the record contains in full.
    const anchor = named ?? anchors.find((record) => isSignedByRecord(certificate, record, nowMs));
    if (anchor !== undefined) return { kind: "matches", record: kindOf(anchor) };
    const issuer = chain[depth + 1];
    if (issuer === undefined || !isIssuedBy(certificate, issuer)) break;
  }
  return { kind: "fails", reason: "its certificate leads to none of the trust anchors in its TLSA records" };
}

/** RFC 6698 §2.1: whether the selected octets, or their digest, equal the record's data. */
function isOf(record: TlsaRecord, certificate: X509Certificate): boolean {
  const octets = record.selector === wholeCertificate ? certificate.raw : publicKeyOf(certificate);
  if (octets === undefined) return false;
  if (record.matching === exact) return octets.equals(record.data);
  const digest = createHash(record.matching === 1 ? "sha256" : "sha512")
    .update(octets)
    .digest();
  return digest.equals(record.data);
}

/** @returns `undefined` for key types that OpenSSL does not support */
function publicKeyOf(certificate: X509Certificate): Buffer | undefined {
  try {
    return certificate.publicKey.export({ type: "spki", format: "der" });
  } catch {
    return undefined;
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && isSignedBy(certificate, issuer.publicKey);
}

function isSignedByRecord(certificate: X509Certificate, record: TlsaRecord, nowMs: number): boolean {
  if (record.matching !== exact) return false;
  try {
    if (record.selector === publicKey) {
      return isSignedBy(certificate, createPublicKey({ key: record.data, format: "der", type: "spki" }));
    }
    const issuer = new X509Certificate(record.data);
    return isValidAt(issuer, nowMs) && isIssuedBy(certificate, issuer);
  } catch {
    // The record contains neither a key nor a certificate.
    return false;
  }
}

function isSignedBy(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.verify(key);
  } catch {
    return false;
  }
}

function isValidAt(certificate: X509Certificate, nowMs: number): boolean {
  return nowMs >= Date.parse(certificate.validFrom) && nowMs <= Date.parse(certificate.validTo);
}

function isForServers({ keyUsage }: X509Certificate): boolean {
  // Node's `keyUsage` is the extended key usage; a certificate without one is for everything.
  return keyUsage === undefined || keyUsage.some((purpose) => serverPurposes.includes(purpose));
}
