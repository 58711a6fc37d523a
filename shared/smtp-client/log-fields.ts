/** The fields of log lines about an attempt, the same wherever mail is delivered. Pure. */
import { replyLine } from "../smtp/diagnose.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";
import type { TlsResult } from "./session/session.ts";

/** `mx.example.com[192.0.2.25]:25` */
export function remoteField({
  host,
  address,
  port,
}: {
  host: string;
  address: string;
  port: number;
}): string {
  return host === address ? `[${address}]:${port}` : `${host}[${address}]:${port}`;
}

export function diagnosisFields({ status, reason, reply, remote, possiblyDelivered, ...rest }: Diagnosis) {
  return {
    status,
    class: rest.class,
    reason,
    ...(reply === undefined ? {} : { reply: replyLine(reply), command: reply.command }),
    ...(remote === undefined ? {} : { remote: remoteField(remote) }),
    ...(possiblyDelivered === true ? { possiblyDelivered } : {}),
  };
}

/** The fields of a session under TLS. */
export function tlsFields({ protocol, cipher, level, peerName, verified, tlsa }: TlsResult) {
  return {
    protocol,
    cipher,
    policy: level,
    peer: peerName,
    verified,
    ...(tlsa === undefined ? {} : { tlsa }),
  };
}
