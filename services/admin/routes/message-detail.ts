/** Everything about one message as the API shows it: the schema, and how it is filled from spool and queues. Pure. */
import { z } from "zod";
import type { Config } from "../../../shared/config/schema.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { deliveryJobId } from "../../../shared/queue/contract/contract.ts";
import { expiresAtMs, sinceMs } from "../../../shared/queue/contract/retry-schedule.ts";
import type { HoldRule } from "../../../shared/queue/holds/rules.ts";
import { type InspectedJob, rowOf } from "../../../shared/queue/operator/rows.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { attemptView, notificationView } from "./message-history.ts";
import { messageRow } from "./schemas.ts";

const timestamp = z.iso.datetime();
const endpoint = z.object({ address: z.string(), port: z.int() });

const diagnosis = z.object({
  status: z.string().describe("Enhanced status code (RFC 3463)."),
  class: z.enum(["dns", "connect", "network", "4xx", "5xx", "local"]),
  reason: z.string(),
  reply: z
    .object({
      code: z.int(),
      enhanced: z.string().optional(),
      lines: z.array(z.string()),
      command: z.string().describe("The command that it answers."),
    })
    .optional(),
  remote: z.object({ host: z.string(), address: z.string(), port: z.int() }).optional(),
  at: timestamp,
  possiblyDelivered: z.boolean().describe("The connection was lost after the final dot."),
});

const hold = z.object({
  kind: z.enum(["message", "destination", "sender", "all"]),
  value: z.string(),
  reason: z.string(),
  until: timestamp.nullable(),
});

export const messageDetail = z.object({
  id: z.string().describe("The queue id, which the client got with its 250."),
  messageId: z.string().nullable(),
  receivedAt: timestamp,
  size: z.int().describe("Octets of the body as received."),
  has8bit: z.boolean(),
  envelope: z.object({
    from: z.string().describe("The reverse-path; empty for <>."),
    body: z.string().optional(),
    smtputf8: z.boolean().optional(),
    requireTls: z.boolean().optional(),
    ret: z.string().optional(),
    envid: z.string().optional(),
  }),
  origin: z
    .object({
      client: endpoint,
      destination: endpoint,
      direction: z.enum(["incoming", "outgoing", "local"]),
      listener: z.string(),
      session: z.string(),
      helo: z.string(),
      protocol: z.string(),
      user: z.string().optional().describe("Who had logged in."),
    })
    .nullable()
    .describe("The session that it came by; null for messages of the gateway itself."),
  recipients: z.array(
    z.object({
      address: z.string(),
      state: z.enum(["pending", "delivered", "failed", "bounced", "removed", "dead"]),
      job: z
        .string()
        .optional()
        .describe("The job that carries or carried it; absent when inline delivery settled it."),
      notify: z.array(z.string()).optional(),
      orcpt: z.string().optional(),
      diagnosis: diagnosis.optional().describe("Of the last attempt."),
    }),
  ),
  jobs: z
    .array(
      messageRow.extend({
        lastAttemptAt: timestamp.nullable(),
        givesUpAt: timestamp
          .nullable()
          .describe("After it no attempt follows, and the sender is notified; null for dead and held jobs."),
        hold: hold.nullable(),
      }),
    )
    .describe("Its jobs that are in the queues now."),
  attempts: z
    .array(attemptView)
    .describe("One for each recipient and attempt, oldest first, as far as the events are kept."),
  notifications: z.array(notificationView).describe("The notifications about it to its sender."),
  received: z
    .string()
    .describe("The Received field that deliveries put before the message, except those with `hide`."),
  headers: z
    .string()
    .nullable()
    .describe("The header section as received; null without a token that has the scope content."),
});
export type MessageDetail = z.infer<typeof messageDetail>;

/**
 * @param states   of recipients, by index; a missing one is pending
 * @param jobs     of this message
 * @param headers  its header section; null for a caller who may not read it
 * @param queue    how long messages are tried
 */
export function describeMessage(
  meta: MessageMeta,
  states: ReadonlyMap<number, RecipientState>,
  jobs: readonly InspectedJob[],
  headers: string | null,
  history: Pick<MessageDetail, "attempts" | "notifications">,
  queue: Pick<Config["queue"], "expire" | "dsn_expire">,
): MessageDetail {
  const { reversePath, recipients, ...parameters } = meta.envelope;
  const last = lastDiagnoses(jobs);
  return {
    id: meta.id,
    messageId: meta.messageId ?? null,
    receivedAt: iso(meta.receivedAtMs),
    size: meta.size,
    has8bit: meta.has8bit,
    envelope: { from: reversePath, ...parameters },
    origin: describeOrigin(meta),
    recipients: recipients.map(({ address, notify, orcpt }, index) => {
      const state = states.get(index) ?? { kind: "pending" };
      const why = "diagnosis" in state ? state.diagnosis : last.get(index);
      const part = meta.parts.findIndex((indexes) => indexes.includes(index));
      return {
        address,
        state: state.kind,
        ...(part < 0 ? {} : { job: deliveryJobId(meta.id, part) }),
        ...(notify === undefined ? {} : { notify }),
        ...(orcpt === undefined ? {} : { orcpt }),
        ...(why === undefined || state.kind === "delivered" ? {} : { diagnosis: describeDiagnosis(why) }),
      };
    }),
    jobs: jobs.map((inspected) => {
      const lastAttemptAtMs = inspected.job.history?.lastAttemptAtMs;
      return {
        ...rowOf(inspected),
        lastAttemptAt: lastAttemptAtMs === undefined ? null : iso(lastAttemptAtMs),
        givesUpAt: givesUpAt(inspected, queue),
        hold: inspected.hold === undefined ? null : describeHold(inspected.hold),
      };
    }),
    ...history,
    received: meta.received,
    headers,
  };
}

/** The time of a held job stands still. */
function givesUpAt(
  { status, job }: InspectedJob,
  queue: Pick<Config["queue"], "expire" | "dsn_expire">,
): string | null {
  if (status === "held" || status === "dead") return null;
  return iso(expiresAtMs({ sinceMs: sinceMs(job, job.receivedAtMs), nullSender: job.from === "" }, queue));
}

/** The last diagnosis of each recipient that the jobs still carry. */
function lastDiagnoses(jobs: readonly InspectedJob[]): Map<number, Diagnosis> {
  const last = new Map<number, Diagnosis>();
  for (const { job } of jobs) {
    for (const { recipients, diagnosis } of job.history?.last ?? []) {
      for (const index of recipients) last.set(index, diagnosis);
    }
  }
  return last;
}

function describeOrigin({ origin }: MessageMeta): MessageDetail["origin"] {
  if (origin === null) return null;
  const { client, destination, direction, listener, id } = origin.connection;
  return {
    client,
    destination,
    direction,
    listener,
    session: id,
    helo: origin.helo,
    protocol: origin.protocol,
    ...(origin.user === undefined ? {} : { user: origin.user }),
  };
}

function describeDiagnosis({ atMs, possiblyDelivered, ...rest }: Diagnosis): z.infer<typeof diagnosis> {
  return { ...rest, at: iso(atMs), possiblyDelivered: possiblyDelivered === true };
}

function describeHold({ kind, value, reason, untilMs }: HoldRule): z.infer<typeof hold> {
  return { kind, value, reason, until: untilMs === undefined ? null : iso(untilMs) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
