/**
 * The outcome of an attempt for one recipient, and the diagnosis of a failure: complete by construction, so that a DSN can
 * always be written from it. With the schemas for payloads and files that carry them. Pure.
 */
import { z } from "zod";
import type { EnhancedStatus, SmtpReply } from "./status.ts";

/** The class of a failure, as `relay.backup.on` names it. */
export type FailureClass = "dns" | "connect" | "network" | "4xx" | "5xx" | "local";

export interface Diagnosis {
  /** From the server's reply; derived from the reply code when the server sent none. */
  status: EnhancedStatus;
  class: FailureClass;
  /** One line, never empty, for people. */
  reason: string;
  /** What the remote server said, and to which command. */
  reply?: SmtpReply;
  remote?: { host: string; address: string; port: number };
  /** When the attempt ended, in epoch milliseconds. */
  atMs: number;
  /** RFC 5321 §4.5.4.1: the connection was lost after the final dot; the message may have arrived. */
  possiblyDelivered?: boolean;
}

/** How one attempt ended for one recipient. */
export type Outcome =
  | {
      kind: "delivered";
      reply: SmtpReply;
      remote: { host: string; address: string; port: number };
      dsnPassedOn: boolean;
    }
  | { kind: "deferred"; diagnosis: Diagnosis }
  | { kind: "rejected"; diagnosis: Diagnosis };

export const replySchema = z.object({
  code: z.int().min(200).max(599),
  enhanced: z.custom<EnhancedStatus>(isEnhancedStatus).optional(),
  lines: z.array(z.string()).min(1),
  command: z.enum([
    "CONNECT",
    "EHLO",
    "HELO",
    "STARTTLS",
    "AUTH",
    "MAIL",
    "RCPT",
    "DATA",
    "DOT",
    "RSET",
    "QUIT",
  ]),
});

export const diagnosisSchema = z.object({
  status: z.custom<EnhancedStatus>(isEnhancedStatus),
  class: z.enum(["dns", "connect", "network", "4xx", "5xx", "local"]),
  reason: z.string().min(1),
  reply: replySchema.optional(),
  remote: z.object({ host: z.string(), address: z.string(), port: z.int() }).optional(),
  atMs: z.number(),
  possiblyDelivered: z.boolean().optional(),
});

function isEnhancedStatus(value: unknown): boolean {
  return typeof value === "string" && /^[245]\.\d{1,3}\.\d{1,3}$/.test(value);
}
