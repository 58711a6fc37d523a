/** The schemas of the summary of queued mail, and of the totals of a list. */
import { z } from "zod";
import { ageNames, groupings } from "../../../shared/queue/operator/summary.ts";
import { filterFields, pageFields } from "./schemas.ts";

const timestamp = z.iso.datetime().describe("UTC, ISO 8601.");

export const indexState = {
  asOf: timestamp
    .nullable()
    .describe("When the queues were last read as a whole; null while the first reading is under way."),
  indexed: z.int().describe("Jobs that are known in detail."),
  notIndexed: z
    .int()
    .describe("Jobs beyond what the admin's memory has room for; they are in no group and no total."),
};

const maxGroups = 10_000;
export const summaryQuery = z.strictObject({
  by: z
    .enum(groupings)
    .default("destination")
    .describe(
      "What has equal values within a group: the recipients' domain, the reason, the sender, the route.",
    ),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(maxGroups)
    .default(100)
    .meta({
      description: `Groups at most, the largest: 1 to ${maxGroups}.`,
      jsonSchema: { type: "integer", minimum: 1, maximum: maxGroups, default: 100 },
    }),
  ...filterFields,
});

const ages = z
  .record(z.string(), z.int())
  .describe(`Jobs by age since they were received: ${ageNames.join(", ")}.`);

export const summaryBody = z.object({
  by: z.enum(groupings),
  ...indexState,
  total: z.object({ messages: z.int(), held: z.int(), oldestAt: timestamp.nullable(), ages }),
  groups: z.int().describe("All groups, those beyond the limit included."),
  rows: z.array(
    z.object({
      key: z.string(),
      messages: z
        .int()
        .describe("Jobs. One with recipients in two domains, or with two reasons, counts in both groups."),
      held: z.int(),
      oldestAt: timestamp,
      ages,
      sample: z.string().describe("The id of its oldest job."),
      reason: z
        .object({
          code: z.int().nullable().describe("The reply's code; null when no server said it."),
          status: z.string().nullable().describe("Enhanced status code (RFC 3463)."),
          text: z.string().describe("The words; … stands for ids, addresses, numbers and hosts."),
          firstAt: timestamp.nullable(),
          lastAt: timestamp.nullable(),
          destinations: z.int().describe("Domains of recipients that it concerns."),
        })
        .optional()
        .describe("Only by reason."),
    }),
  ),
});

const totals = z
  .object({
    matched: z.int(),
    statuses: z.object({
      waiting: z.int(),
      active: z.int(),
      deferred: z.int(),
      held: z.int(),
      dead: z.int(),
    }),
    size: z.int().describe("Octets."),
  })
  .nullable()
  .describe("Of all jobs that match, on all pages; null while the queues are read for the first time.");

export const messagePage = z.object({ ...pageFields, totals, ...indexState });
