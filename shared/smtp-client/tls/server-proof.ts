/** Whether a server has proved its identity: checks its certificates against the required proof. Pure, apart from reading the socket. */
import { X509Certificate } from "node:crypto";
import net from "node:net";
import type tls from "node:tls";
import { domainToASCII } from "node:url";
import { isForHost } from "../../net/certificate-name.ts";
import { matchChain } from "./dane/match-chain.ts";
import type { Proof } from "./policy.ts";

export interface Presented {
  /** The server's certificate, its issuer, and so on; empty when it sent none. */
  chain: X509Certificate[];
  /** OpenSSL's error for the chain up to a trusted authority, names aside; `undefined`: it is valid. */
  chainError: string | undefined;
}

export type Judgement =
  /** `tlsa`: the record that it matched, `3 1 1`. */
  { kind: "proven"; tlsa?: string } | { kind: "unproven"; reason: string };

/** Longer than any valid chain. */
const maxChain = 20;

/** @param socket  after its handshake, with a `checkServerIdentity` that accepts all: judge() checks the name */
export function presentedBy(socket: tls.TLSSocket): Presented {
  // The type says Error, but it is a code such as CERT_HAS_EXPIRED.
  const chainError = socket.authorized ? undefined : String(socket.authorizationError);
  const chain: X509Certificate[] = [];
  let link: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // The last one names itself as its issuer.
  while (link?.raw !== undefined && chain.length < maxChain) {
    chain.push(new X509Certificate(link.raw));
    link = link.issuerCertificate === link ? undefined : link.issuerCertificate;
  }
  return { chain, chainError };
}

/** @param host  the name or address of the host, as configured or from the MX record */
export function judge(
  proof: Proof,
  { chain, chainError }: Presented,
  host: string,
  nowMs: number,
): Judgement {
  if (proof.kind === "dane") {
    const result = matchChain(chain, proof.records, proof.names, nowMs);
    if (result.kind === "matches") return { kind: "proven", tlsa: result.record };
    return { kind: "unproven", reason: result.reason };
  }
  if (chainError !== undefined) {
    return { kind: "unproven", reason: `its certificate is not valid for ${host}: ${chainError}` };
  }
  const [leaf] = chain;
  if (leaf !== undefined && isFor(leaf, host, proof.dnsIdOnly)) return { kind: "proven" };
  return { kind: "unproven", reason: `its certificate is not for ${host}` };
}

function isFor(certificate: X509Certificate, host: string, dnsIdOnly: boolean): boolean {
  if (net.isIP(host) !== 0) return certificate.checkIP(host) !== undefined;
  return isForHost(certificate, asciiName(host), !dnsIdOnly);
}

/** The name in A-labels, as certificates and SNI use it. */
export function asciiName(host: string): string {
  return domainToASCII(host) || host;
}
