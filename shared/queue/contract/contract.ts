/** The room of the contract between producers and consumers: queue names, job ids, and the schemas that parse every payload. Pure. */
import { z } from "zod";
import { type Diagnosis, diagnosisSchema, replySchema } from "../../smtp/diagnosis.ts";

/** The queues that delivery workers consume. */
export type DeliveryQueueName = "delivery" | "delivery-slow";
export type QueueName = DeliveryQueueName | "bounce" | "dead";
export const queueNames: readonly QueueName[] = ["delivery", "delivery-slow", "bounce", "dead"];

/** The other queue where the same job may be; the queue itself where there is none. */
export function otherQueue(queue: QueueName): QueueName {
  const others: Record<DeliveryQueueName, DeliveryQueueName> = {
    delivery: "delivery-slow",
    "delivery-slow": "delivery",
  };
  return queue === "delivery" || queue === "delivery-slow" ? others[queue] : queue;
}

/** The job of a message's recipient group, by its number. BullMQ forbids ':' and bare integers in ids. */
export function deliveryJobId(messageId: string, group: number): string {
  return `${messageId}-${group}`;
}

/** Failures of one message within the aggregation window share the job, and so the DSN. */
export function bounceJobId(messageId: string): string {
  return `${messageId}-failed`;
}

/** Delays share a warning in the same way. */
export function delayWarningJobId(messageId: string): string {
  return `${messageId}-delayed`;
}

/** Successes share a report in the same way. */
export function successReportJobId(messageId: string): string {
  return `${messageId}-succeeded`;
}

/** The message and the recipient group of a delivery job; `undefined` when the id is not a delivery job's. */
export function parseDeliveryJobId(jobId: string): { id: string; group: number } | undefined {
  const match = /^([0-9A-Za-z]+)-(\d{1,6})$/.exec(jobId);
  return match?.[1] === undefined ? undefined : { id: match[1], group: Number(match[2]) };
}

/** Epoch milliseconds that a date can show (ECMA-262 §21.4.1.1): one job with others would fail every list that it is in. */
const epochMs = z.number().min(-8.64e15).max(8.64e15);

const locatorSchema = z.object({
  /** The name of a file, or the key of an object in a store. */
  segment: z.string().regex(/^(?:(?:messages|compacted)\/)?[\w.-]+$/),
  offset: z.int().min(0),
  length: z.int().min(0),
  checksum: z.int().min(0),
});

/** The attempts so far. In the payload, since BullMQ's own counter does not survive a move to the other queue. */
const historySchema = z.object({
  attempts: z.int().min(0),
  lastAttemptAtMs: z.number().optional(),
  /** The last diagnosis of each recipient that was tried and is still pending, equal ones together. */
  last: z.array(z.object({ recipients: z.array(z.int()), diagnosis: diagnosisSchema })),
});
export type AttemptHistory = Omit<z.infer<typeof historySchema>, "last"> & {
  last: { recipients: number[]; diagnosis: Diagnosis }[];
};

/** One recipient group of a message. Envelope and body are in the spool; `from` and `to` are copies for lists and holds. */
export const deliveryJobSchema = z.object({
  version: z.literal(1),
  /** The queue id of the message. */
  id: z.string(),
  /** Number of the recipient group. */
  part: z.int().min(0),
  locator: locatorSchema,
  from: z.string(),
  to: z.array(z.string()),
  /** The Message-ID field, by which operators find the message. */
  messageId: z.string().optional(),
  /** The row of the routing table and the next hop, as of acceptance or the last attempt; only shown, never followed. */
  route: z.string(),
  /** The names of that next hop which holds may use. Absent in jobs of the version before. */
  aliases: z.array(z.string()).optional(),
  size: z.int(),
  receivedAtMs: epochMs,
  /** A redelivery: added more than once, or after Redis lost it. Recipients may be settled already. */
  again: z.literal(true).optional(),
  /** When it was requeued from the queue `dead`: its time to expire counts from then. */
  revivedAtMs: z.number().optional(),
  /** How long holds have kept it, which does not count towards its expiry. Written when a hold ends. */
  heldMs: z.number().optional(),
  history: historySchema.optional(),
});
export type DeliveryJob = Omit<z.infer<typeof deliveryJobSchema>, "history"> & { history?: AttemptHistory };

/** @returns `undefined` when the payload is not that of a delivery job */
export function parseDeliveryJob(payload: unknown): DeliveryJob | undefined {
  const parsed = deliveryJobSchema.safeParse(payload);
  return parsed.success ? (parsed.data as DeliveryJob) : undefined;
}

/** One notification to make. The spool's states say which recipients failed or are late, and why. */
export const bounceJobSchema = z.discriminatedUnion("kind", [
  z.object({ version: z.literal(1), kind: z.literal("failed"), id: z.string(), locator: locatorSchema }),
  z.object({ version: z.literal(1), kind: z.literal("delayed"), id: z.string(), locator: locatorSchema }),
  /** Its version makes it wait for a worker that knows the kind. */
  z.object({ version: z.literal(2), kind: z.literal("succeeded"), id: z.string(), locator: locatorSchema }),
  z.object({
    version: z.literal(1),
    /** A report of success as version 0.1 enqueued it: the spool's states did not say that it was pending. */
    kind: z.enum(["relayed", "delivered"]),
    id: z.string(),
    locator: locatorSchema,
    recipients: z.array(
      z.object({
        recipient: z.int(),
        reply: replySchema,
        remote: z.object({ host: z.string(), address: z.string(), port: z.int() }),
        atMs: z.number(),
      }),
    ),
  }),
]);
export type BounceJob = z.infer<typeof bounceJobSchema>;
