/** STARTTLS in a session that is being opened (RFC 3207): the handshake, and whether the server proves its identity. */
import net from "node:net";
import tls from "node:tls";
import { deferred, remoteName } from "../../smtp/diagnose.ts";
import { isPositive } from "../../smtp/status.ts";
import type { Proof } from "../tls/policy.ts";
import { asciiName, judge, presentedBy } from "../tls/server-proof.ts";
import type { SmtpConnection } from "./connection.ts";
import type { OpeningFailure, SessionDeps, SessionRequest, TlsResult } from "./session.ts";
import { failed, lost, refused } from "./session.ts";

/**
 * @param isOffered  whether the server offers STARTTLS
 * @returns `undefined` where the session goes on in clear text
 */
export async function startTls(
  connection: SmtpConnection,
  isOffered: boolean,
  { policy, remote }: SessionRequest,
  { timeouts, secureContext, now }: SessionDeps,
): Promise<TlsResult | OpeningFailure | undefined> {
  if (!policy.tries) return undefined;
  const fail = (status: "4.7.4" | "4.7.5", reason: string) =>
    failed(deferred("network", status, `${remoteName(remote)}: ${reason}`, now(), remote), true);
  if (!isOffered) {
    return policy.needs ? fail("4.7.4", "it does not offer STARTTLS, which is required") : undefined;
  }
  connection.command("STARTTLS\r\n");
  const heard = await connection.hear("STARTTLS", timeouts.ehlo);
  if (heard.kind === "lost")
    return lost(heard.disconnectReason, remote, "while saying STARTTLS", now(), true);
  if (!isPositive(heard.reply)) {
    // RFC 3207 §4.1: the session goes on in clear text where the policy lets it.
    if (!policy.needs && heard.reply.code !== 421) return undefined;
    return refused(heard.reply, remote, now(), true);
  }
  const { proof } = policy;
  const secure = await connection.upgrade(
    {
      secureContext: secureContext(),
      ...serverName(proof, remote.host),
      // Judged below, so that `may` and `require` can accept any certificate and still log what it was.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    },
    timeouts.ehlo,
  );
  if (!(secure instanceof tls.TLSSocket))
    return lost(secure, remote, "during the TLS handshake", now(), true);
  const judgement = judge(proof, presentedBy(secure), remote.host, now());
  if (policy.verifies && judgement.kind === "unproven") return fail("4.7.5", judgement.reason);
  return {
    protocol: secure.getProtocol() ?? "TLS",
    cipher: secure.getCipher().name,
    level: policy.level,
    peerName: proof.kind === "dane" ? proof.names[0] : remote.host,
    verified: judgement.kind === "proven",
    ...(judgement.kind === "unproven" ? { failure: judgement.reason } : {}),
    ...(judgement.kind === "proven" && judgement.tlsa !== undefined ? { tlsa: judgement.tlsa } : {}),
  };
}

/** RFC 7672 §8.1: under DANE, the name at which the TLSA records stand. RFC 6066 §3: names only, no addresses. */
function serverName(proof: Proof, host: string): { servername?: string } {
  if (proof.kind === "dane") return { servername: proof.names[0] };
  return net.isIP(host) === 0 ? { servername: asciiName(host) } : {};
}
