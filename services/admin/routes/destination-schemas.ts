/** The schemas of the routes about destinations. */
import { z } from "zod";
import { connectionPhases } from "../../../shared/limits/connection-phases.ts";
import { indexState, summaryBody } from "./summary-schemas.ts";

const timestamp = z.iso.datetime();
const { total, rows } = summaryBody.shape;

export const destinationParams = z.object({
  name: z
    .string()
    .trim()
    .toLowerCase()
    .min(1)
    .max(255)
    .describe("A domain of recipients, the name of a relay host, or the host of a next hop."),
});

const phases = z
  .partialRecord(z.enum(connectionPhases), z.int())
  .describe(
    "What is done with its connections now, at most a second old; a phase without one is absent. waiting: a message waits in a worker for a connection to come free.",
  );

const deadHosts = z.object({
  hosts: z.string().describe("What has to answer: mx example.com, smtp.isp.example:587."),
  reason: z.string(),
  since: timestamp.nullable(),
  until: timestamp.describe("No attempt is made until then."),
  lastAttemptAt: timestamp,
});

export const destinationBody = z.object({
  name: z.string(),
  nextHop: z
    .string()
    .nullable()
    .describe("Where its mail goes by the routes now; null when the name is that of a configured host."),
  countedAs: z.string().describe("The name under which limits count its connections."),
  limits: z.object({
    connections: z.int().describe("As configured, over all processes."),
    messagesPerConnection: z.int(),
    rate: z.string().nullable().describe("Messages and seconds: 600/60s."),
  }),
  rateInUse: z
    .object({
      used: z.int().describe("Messages that count against it now."),
      of: z.int().describe("Messages that may go at once after a pause."),
      nextAt: timestamp.nullable().describe("When the next may go; null: now."),
    })
    .nullable()
    .describe("null without a rate."),
  connections: z.int().describe("In use now."),
  slots: z
    .array(z.object({ host: z.string().nullable(), pid: z.int().nullable(), connections: z.int(), phases }))
    .describe("The processes that have them."),
  phases,
  learnt: z
    .object({ connections: z.int(), since: timestamp })
    .nullable()
    .describe("The server has refused connections: it gets so many now, and one more every half minute."),
  dead: deadHosts.nullable().describe("No host answers; the first of deadHosts."),
  deadHosts: z
    .array(deadHosts)
    .describe("Each set of its hosts of which none answers: several servers, ports, or hidden sources."),
  why: z.array(z.string()).describe("Why it is slow, one sentence each."),
  lastDelivered: z
    .array(z.object({ at: timestamp, id: z.string(), to: z.string(), remote: z.string(), reply: z.string() }))
    .describe("The last replies with which it took mail, latest first; from the latest events only."),
  waiting: total,
  reasons: rows,
  ...indexState,
});

const maxListed = 1_000;
export const destinationsQuery = z.strictObject({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(maxListed)
    .default(100)
    .meta({
      description: `1 to ${maxListed}.`,
      jsonSchema: { type: "integer", minimum: 1, maximum: maxListed, default: 100 },
    }),
});
export const destinationsBody = z.object({
  ...indexState,
  all: z.int().describe("Destinations with mail, connections, or dead hosts."),
  destinations: z
    .array(
      z.object({
        name: z.string(),
        messages: z.int().describe("Jobs that wait for it."),
        held: z.int(),
        oldestAt: timestamp.nullable(),
        connections: z.int().describe("Open or being opened now."),
        phases,
        dead: deadHosts.nullable(),
      }),
    )
    .describe("Those with the most mail first."),
});
