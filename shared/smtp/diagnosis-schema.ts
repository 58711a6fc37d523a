/** The schemas of a reply and of a diagnosis, for the payloads and files that carry them. Pure. */
import { z } from "zod";
import type { EnhancedStatus } from "./status.ts";

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
