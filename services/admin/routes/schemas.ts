/** The schemas of the admin's API: they parse requests, and describe requests and responses in the OpenAPI document. */
import { z } from "zod";
import { duration } from "../../../shared/config/values.ts";
import { queueNames } from "../../../shared/queue/contract/contract.ts";
import { whyMatchesNothing } from "../../../shared/queue/holds/pattern.ts";
import { errorInHold } from "../../../shared/queue/holds/rules.ts";
import { rowSorts } from "../../../shared/queue/operator/row-order.ts";

const timestamp = z.iso.datetime().describe("UTC, ISO 8601.");
const text = z.string().trim().min(1).max(1000);
const future = timestamp.refine((at) => Date.parse(at) > Date.now(), "is in the past");

const messageStatus = z.enum(["waiting", "active", "deferred", "held", "dead"]);
const deliveryQueue = z.enum(queueNames.filter((name) => name !== "bounce"));

/** One delivery job: one message for one next hop. */
export const messageRow = z.object({
  id: z
    .string()
    .describe("The job's id: the queue id of the message, a dash, and the number of the recipient group."),
  messageId: z.string().nullable().describe("The Message-ID field."),
  from: z.string().describe("The reverse-path; empty for <>."),
  to: z.array(z.string()).describe("The recipients of this job."),
  route: z.string().describe("The row of the routing table and the next hop, as of the last attempt."),
  queue: deliveryQueue,
  status: messageStatus,
  attempts: z.int(),
  nextAttemptAt: timestamp.nullable(),
  receivedAt: timestamp,
  size: z.int().describe("Octets."),
  reason: z
    .string()
    .nullable()
    .describe("Why it is still in the queue: the last reply, or the reason of the hold."),
});
export type MessageRow = z.infer<typeof messageRow>;

const addressPattern = text.check(({ value, issues }) => {
  const why = whyMatchesNothing(value);
  if (why === undefined) return;
  issues.push({ code: "custom", message: `needs an address or a pattern: ${why}`, input: value });
});

/** The filters of a list; a message must match all of them. */
export const filterFields = {
  to: addressPattern.optional().describe("A recipient: an address, or a pattern such as *@example.com."),
  from: addressPattern.optional().describe("The reverse-path: an address, a pattern, or <>."),
  route: text.optional().describe("A part of the route."),
  older: duration.optional().describe("Received at least this long ago: 30m, 2h, 5d."),
  status: messageStatus.optional(),
  error: text.optional().describe("A part of the last reason, in any case."),
  queue: deliveryQueue.optional(),
  search: text
    .optional()
    .describe("A part of an address, the Message-ID, the id, the route or the reasons, in any case."),
  messageId: text.optional().describe("The Message-ID field with its angle brackets."),
};
export const filter = z.strictObject(filterFields);
export type Filter = z.infer<typeof filter>;

const maxPage = 1000;
export const listQuery = z.strictObject({
  ...filterFields,
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(maxPage)
    .default(100)
    .meta({
      description: `Rows at most, 1 to ${maxPage}.`,
      jsonSchema: { type: "integer", minimum: 1, maximum: maxPage, default: 100 },
    }),
  sort: z
    .enum(rowSorts)
    .optional()
    .describe(
      "By the age of the message, the next attempt, the attempts so far, or the size; absent: as workers take them.",
    ),
  cursor: text.optional().describe("`next` of the page before."),
});

export const pageFields = {
  messages: z.array(messageRow),
  next: z.string().nullable().describe("The cursor of the next page; null after the last."),
};

export const idParams = z.object({
  id: text.describe("A job's id, a message's queue id, or a <Message-ID>."),
});

const selectionLimits = { ids: 10_000 };
/** The messages to change: exactly one of the three. */
export const selectionFields = {
  ids: z.array(text).min(1).max(selectionLimits.ids).optional(),
  filter: filter
    .refine((value) => Object.values(value).some((field) => field !== undefined), "is empty: use all: true")
    .optional(),
  all: z.literal(true).optional(),
};
export interface Selection {
  ids?: string[] | undefined;
  filter?: Filter | undefined;
  all?: true | undefined;
}
export const oneSelection = ({ ids, filter, all }: Selection): boolean =>
  [ids, filter, all].filter((each) => each !== undefined).length === 1;
export const oneSelectionMessage = "needs exactly one of `ids`, `filter` and `all`";

const changeFields = {
  ...selectionFields,
  reason: text.optional().describe("For people: it stands in the log and in the timeline of each message."),
  dryRun: z.boolean().default(false).describe("Count what would be changed, and change nothing."),
};
export const selectionBody = z.strictObject(changeFields).refine(oneSelection, oneSelectionMessage);

export const holdTerms = {
  reason: text.optional().describe("For people: it stands in the log and in the timeline of each message."),
  until: future
    .nullable()
    .optional()
    .describe("When the hold ends by itself; null: it does not. Absent: as a hold that stands has it."),
};
export const replaceHold = z
  .boolean()
  .describe("Change a hold of the same mail that stands; without it the answer says what stands (409).");
export const holdBody = z
  .strictObject({ ...changeFields, ...holdTerms, replace: replaceHold.default(false) })
  .refine(oneSelection, oneSelectionMessage);
export const removeBody = z
  .strictObject({
    ...changeFields,
    notify: z.boolean().default(false).describe("Send the sender a delivery status notification."),
  })
  .refine(oneSelection, oneSelectionMessage);

export const viaText = text.describe(
  "The next hop: a name of relay.hosts, host:port, a host (port 25), mx, or original: by the routing table again.",
);
export const rerouteBody = z
  .strictObject({ ...changeFields, via: viaText })
  .refine(oneSelection, oneSelectionMessage);

/** The result of a change, job by job. */
export const changeReport = z.object({
  matched: z.int().describe("Jobs with one of the ids, or that match the filter."),
  changed: z.int(),
  skipped: z.array(z.object({ id: z.string(), reason: z.string() })).describe("At most a thousand of them."),
  unknown: z.array(z.string()).describe("Ids that no job in the queues has."),
  task: z.string().nullable().describe("The id of the task; null for a dry run."),
});
export const holdReport = changeReport.extend({
  rule: z
    .string()
    .nullable()
    .describe("The id of the hold rule that also holds later messages; null when only these jobs are held."),
});
export const removeReport = changeReport.extend({
  underWay: z
    .array(z.string())
    .describe(
      "Jobs that were removed during an attempt, which may still deliver the message; no further attempt follows.",
    ),
});

export const rerouteReport = changeReport.extend({
  underWay: z
    .array(z.string())
    .describe("Jobs that are being delivered by their old next hop; the next attempt goes by the new one."),
});

const holdKind = z.enum(["message", "destination", "sender", "all"]);
const holdRule = z.object({
  id: z.string(),
  kind: holdKind,
  value: z.string(),
  reason: z.string(),
  by: z.string().nullable().describe("The name of the token that made it; null for holds of older versions."),
  since: timestamp,
  until: timestamp.nullable(),
  waiting: z
    .int()
    .nullable()
    .describe("Held messages that it covers; null while the index of the queues is being built."),
  createdAt: timestamp.describe("As `since`."),
});
export type HoldView = z.infer<typeof holdRule>;
export const holdList = z.object({ holds: z.array(holdRule) });
export const newHold = z
  .strictObject({
    kind: holdKind,
    value: text
      .optional()
      .describe(
        "message: a job's or queue id; destination: a domain, *.domain, or a next hop (a relay host's name, a server with its port or without); sender: an address pattern or <>.",
      ),
    ...holdTerms,
    replace: replaceHold.default(false),
  })
  .check(({ value: { kind, value = "" }, issues }) => {
    const why = kind === "sender" ? whyMatchesNothing(value) : undefined;
    const message = errorInHold({ kind, value }) ?? (why && `can match nothing: ${why}`);
    if (message !== undefined) issues.push({ code: "custom", path: ["value"], message, input: value });
  });
export const holdAdded = z.object({
  hold: holdRule,
  parked: z.int().describe("Jobs that the rule holds now."),
});
export const holdParams = z.object({ id: text.describe("`id` of the list of holds.") });
export const releaseQuery = z.strictObject({ reason: text.optional().describe("For the log.") });
export const holdRemoved = z.object({
  released: z.int(),
  stillHeld: z.int().describe("Jobs that another rule holds."),
});

const queueCounts = z.object({
  name: z.enum(queueNames),
  waiting: z.int(),
  active: z.int(),
  deferred: z.int(),
  held: z.int(),
  dead: z.int(),
  oldestSeconds: z
    .number()
    .nullable()
    .describe(
      "Age of its oldest message, as of the last reading; null when there is none or it is not known.",
    ),
});
export type QueueCounts = z.infer<typeof queueCounts>;
export const queueOverview = z.object({
  queues: z.array(queueCounts),
  oldestSeconds: z
    .number()
    .nullable()
    .describe("Age of the oldest message to deliver, as of the last reading; null when there is none."),
});

export const serviceRow = z.object({
  name: z.string(),
  host: z.string(),
  pid: z.int(),
  startedAt: timestamp,
  version: z.string().optional().describe("Of Postern."),
  url: z.string().nullable().describe("The URL of its /health and /metrics, without the path."),
  ready: z.boolean(),
  reasons: z.array(z.string()).describe("Why it is not ready, one line each."),
  warnings: z
    .array(z.string())
    .optional()
    .describe("What needs an operator and does not keep it from its work, one line each."),
});
export type ServiceRow = z.infer<typeof serviceRow>;
export const serviceList = z.object({ services: z.array(serviceRow) });

export const shownConfig = z.object({
  config: z
    .record(z.string(), z.unknown())
    .describe("Keys of docs/configuration.md; passwords and tokens are ***."),
});

export const healthBody = z.object({
  live: z.literal(true),
  ready: z.boolean(),
  reasons: z.array(z.string()).optional().describe("One line each, for callers with read access."),
  warnings: z
    .array(z.string())
    .optional()
    .describe("What needs an operator and does not keep mail from flowing, for callers with read access."),
});

/** What one process answered to a reload. */
const processReport = z.object({
  name: z.string().describe("ingress, delivery, bounce or admin."),
  host: z.string(),
  pid: z.int(),
  state: z
    .enum(["checked", "taken", "invalid", "failed", "no-answer", "old-version"])
    .describe(
      "`checked`: it could take it, and did not, since another process could not. `failed`: valid, but what it needs cannot be had. `old-version`: a version that knows no reload.",
    ),
  errors: z.array(z.string()).describe("One line for each error, with file and line."),
  changed: z.array(z.string()).describe("Keys that changed with it."),
  restart: z.array(z.string()).describe("Changed keys that the process follows when it is started again."),
  rolling: z
    .array(z.string())
    .describe("Changed keys for which the workers of the service are now restarted, one after another."),
});
export const reloadReport = z.object({
  state: z
    .enum(["taken", "invalid", "incomplete"])
    .describe(
      "`taken`: by all processes. `invalid`: by none, the configuration before stays in force. `incomplete`: not by all.",
    ),
  services: z.array(processReport),
});
