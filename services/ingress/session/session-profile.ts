/** What the sessions of one listener have in common, made once from the configuration. */
import type { SMTPServer } from "smtp-server";
import type { Routing } from "../../../shared/routing/classify.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { MailLimit } from "../connections/client-limits.ts";
import type { Inline } from "../inline/inline.ts";
import type { Acceptor } from "../message/accept.ts";
import type { DataLimits } from "../message/data-receiver.ts";
import type { SessionMetrics } from "./session-metrics.ts";

/** Durations in milliseconds; 0 means no limit. */
export interface SessionProfile {
  hostname: string;
  /** It never listens: sessions need its TLS contexts and options. */
  server: SMTPServer;
  /** Whether there is a certificate to offer STARTTLS with. */
  offersTls: boolean;
  routing: Routing;
  acceptor: Acceptor;
  metrics: SessionMetrics;
  /** Absent: no mail is delivered inline. */
  inline: Inline | undefined;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit: MailLimit | undefined;
  receiver: DataLimits;
  /** In each message. */
  maxRecipients: number;
  greeting: Reply;
  heloReply: Reply;
  ehloReply: Reply;
  /** With REQUIRETLS in place of STARTTLS. */
  ehloReplyOverTls: Reply;
  clientTimeoutMs: number;
  sessionTimeoutMs: number;
  earlyTalkerMs: number;
  toleratesBareNewline: boolean;
  /** Epoch milliseconds. */
  now: () => number;
}
