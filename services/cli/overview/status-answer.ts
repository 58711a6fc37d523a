/** The admin's answer about the status of the gateway, parsed. */
import { z } from "zod";
import { queueCounts } from "../admin-api/queue-counts.ts";

const rate = z.object({
  accepted: z.number(),
  delivered: z.number(),
  deferred: z.number(),
  bounced: z.number(),
  refused: z.number(),
  proxied: z.number(),
});
export type Rate = z.infer<typeof rate>;

const statusSchema = z.object({
  ok: z.boolean(),
  reasons: z.array(z.string()),
  warnings: z.array(z.string()),
  at: z.string(),
  services: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      host: z.string().nullable(),
      pid: z.number().nullable(),
      startedAt: z.string().nullable(),
      version: z.string().optional(),
      lastSeenAt: z.string().optional(),
    }),
  ),
  redis: z.object({
    ok: z.boolean(),
    usedBytes: z.number().nullable(),
    maxBytes: z.number().nullable(),
    latencyMs: z.number().nullable(),
  }),
  rates: z.object({ "1m": rate, "5m": rate, "15m": rate }).nullable(),
  sessions: z.record(z.string(), z.number()).nullable().optional(),
  queues: z.array(queueCounts.extend({ oldestSeconds: z.number().nullable() })).nullable(),
  oldestSeconds: z.number().nullable(),
  worst: z.array(
    z.object({
      destination: z.string(),
      messages: z.number(),
      oldestAt: z.string(),
      reason: z.object({ code: z.number().nullable(), status: z.string().nullable(), text: z.string() }),
    }),
  ),
  disk: z.object({ usedBytes: z.number(), freeBytes: z.number().nullable() }).nullable(),
  next: z.array(z.object({ text: z.string(), command: z.string().nullable() })),
});
export type Status = z.infer<typeof statusSchema>;

export function parseStatus(answer: unknown): Status {
  return statusSchema.parse(answer);
}
