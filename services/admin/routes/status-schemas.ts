/** The schemas of the gateway's status and of its rates. */
import { z } from "zod";
import { trafficKinds } from "../../../shared/runtime/traffic.ts";
import { queueOverview, serviceRow } from "./schemas.ts";
import { indexState } from "./summary-schemas.ts";

const timestamp = z.iso.datetime().describe("UTC, ISO 8601.");

const traffic = (type: z.ZodType<number>) =>
  z.object(
    Object.fromEntries(trafficKinds.map((kind) => [kind, type])) as Record<
      (typeof trafficKinds)[number],
      z.ZodType<number>
    >,
  );

const rowsDescription =
  "By the row of the routing table that decided about the connection (client-server, to-protected …), or by its direction where several may; opaque: of these, sessions that went on under TLS or in another protocol, unread.";

const statusService = serviceRow.extend({
  state: z
    .enum(["ready", "not ready", "ended", "missing"])
    .describe("ended: without a word, in the last quarter of an hour; missing: none has announced itself."),
  lastSeenAt: timestamp.optional().describe("Only for one that has ended."),
  host: z.string().nullable(),
  pid: z.int().nullable(),
  startedAt: timestamp.nullable(),
});
export type StatusService = z.infer<typeof statusService>;

export const gatewayStatus = z.object({
  ok: z.boolean().describe("Whether mail is accepted, delivered and returned, and every service is there."),
  reasons: z.array(z.string()).describe("Why it is not ok, one line each."),
  warnings: z.array(z.string()).describe("What needs an operator and does not keep mail from flowing."),
  at: timestamp,
  services: z.array(statusService),
  redis: z.object({
    ok: z.boolean(),
    usedBytes: z.number().nullable(),
    maxBytes: z.number().nullable().describe("maxmemory; null when there is no limit."),
    latencyMs: z.number().nullable(),
  }),
  rates: z
    .object({ "1m": traffic(z.number()), "5m": traffic(z.number()), "15m": traffic(z.number()) })
    .nullable()
    .describe("A minute, over the last minute, five and fifteen; null when Redis cannot say."),
  sessions: z
    .record(z.string(), z.number())
    .nullable()
    .describe(`Sessions a minute over the last five minutes; null when Redis cannot say. ${rowsDescription}`),
  queues: queueOverview.shape.queues.nullable(),
  oldestSeconds: queueOverview.shape.oldestSeconds,
  dead: z.int().nullable(),
  held: z.int().nullable(),
  holds: z.int().describe("Hold rules in force."),
  worst: z
    .array(
      z.object({
        destination: z.string(),
        messages: z.int().describe("Deferred jobs."),
        oldestAt: timestamp,
        reason: z.object({
          code: z.int().nullable(),
          status: z.string().nullable(),
          text: z.string(),
          messages: z.int(),
        }),
      }),
    )
    .describe("The destinations with the most deferred mail, three at most."),
  ...indexState,
  disk: z
    .object({
      usedBytes: z.number().describe("By the spool."),
      freeBytes: z.number().nullable().describe("null: without end, as in tests."),
    })
    .nullable()
    .describe("Of the spool; null when it cannot be read."),
  next: z
    .array(
      z.object({
        text: z.string(),
        command: z.string().nullable().describe("Without a command it is to be done elsewhere."),
      }),
    )
    .describe("What to do next, the most important first."),
});
export type GatewayStatus = z.infer<typeof gatewayStatus>;

const maxMinutes = 60;
export const ratesQuery = z.strictObject({
  minutes: z.coerce
    .number()
    .int()
    .min(1)
    .max(maxMinutes)
    .default(15)
    .meta({
      description: `1 to ${maxMinutes}.`,
      jsonSchema: { type: "integer", minimum: 1, maximum: maxMinutes, default: 15 },
    }),
});
export const ratesBody = z.object({
  bucketSeconds: z.int(),
  buckets: z
    .array(
      traffic(z.int()).extend({
        at: timestamp,
        measured: z
          .boolean()
          .describe(
            "Whether any process reported in these ten seconds; false: the counts are not known, not 0.",
          ),
        rows: z.record(z.string(), z.int()).describe(`Sessions opened. ${rowsDescription}`),
      }),
    )
    .describe("Oldest first; the last one is over."),
});
