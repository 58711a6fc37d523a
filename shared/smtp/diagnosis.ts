/** Why a recipient was not delivered: complete by construction, so that a DSN can always be written from it. */
import type { EnhancedStatus, SmtpReply } from "./status.ts";

/** The class of a failure: what `relay.backup.on` and the operators speak of. */
export type FailureClass = "dns" | "connect" | "network" | "4xx" | "5xx" | "local";

export interface Diagnosis {
  /** From the peer's reply; derived from the reply code when the peer sent none. */
  status: EnhancedStatus;
  class: FailureClass;
  /** One line, never empty, for people. */
  reason: string;
  /** What the remote server said, and to which command. */
  reply?: SmtpReply;
  remote?: { host: string; address: string; port: number };
  /** Epoch milliseconds of the attempt that ended so. */
  atMs: number;
  /** RFC 5321 §4.5.4.1: the connection was lost after the final dot; the message may have arrived. */
  possiblyDelivered?: boolean;
}

/** What one attempt came to for one recipient. */
export type Outcome =
  | {
      kind: "delivered";
      reply: SmtpReply;
      remote: { host: string; address: string; port: number };
      dsnPassedOn: boolean;
    }
  | { kind: "deferred"; diagnosis: Diagnosis }
  | { kind: "rejected"; diagnosis: Diagnosis };
