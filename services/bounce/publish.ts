/** Brings out what the notifier decided: settles, stores notifications, schedules and reports them. The spool and the queues are its caller's. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { DeadJob } from "../../shared/queue/contract/dead-job.ts";
import type { RouteSummary } from "../../shared/routing/route.ts";
import { type Logger, logEvent, writeLine } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import type { Spool, StoredMessage } from "../../shared/spool/spool.ts";
import type { BounceDecision, PlannedNotification } from "./bounce-decision.ts";
import { type BuiltDsn, buildDsn } from "./build-dsn.ts";
import type { Dsn, DsnKind } from "./dsn.ts";
import { notificationId } from "./notification-id.ts";
import { describeOriginal } from "./original.ts";

export interface PublishDeps {
  config: Pick<Config, "hostname" | "dsn">;
  log: Logger;
  metrics: BounceMetrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
  spool: Pick<Spool, "draft" | "settle">;
  /** Enqueues a message that is in the spool already, in the background. */
  schedule(message: StoredMessage, routes: RouteSummary[]): void;
  addDead(job: DeadJob): Promise<void>;
  /** The route that the job of a notification carries until its first attempt. */
  summarizeRoute(meta: MessageMeta): RouteSummary;
  /** Epoch milliseconds. */
  now(): number;
  random(): Uint8Array;
}

/** Whether what a notification reports is still to be reported, and by this process. */
export type Confirm = (notification: PlannedNotification) => Promise<boolean>;

/**
 * The order loses no report in a crash between any two lines, and repeats none but success reports:
 *
 * 1. Recipients that need no notification are settled. After a crash the next run finds the others.
 * 2. The record of each notification in the spool settles the recipients that it reports: both happen or neither.
 *    Enqueuing comes after it; when that is lost, the reconciler finds the notification in the spool as any message.
 * 3. `dead` is recorded in step 1; when the dead job is lost, the reconciler makes it from the record.
 *
 * A process that is stopped in between while another one makes the notification finds out right before the record. If it
 * is stopped even later, it makes the same message once more: the id follows from what is reported.
 *
 * @returns false when something else has happened to the recipients meanwhile: the rest is to be decided anew
 * @throws SpoolFull, SpoolUnavailable, or what the queues throw; the job is then to be repeated
 */
export async function publish(
  deps: PublishDeps,
  decision: BounceDecision,
  confirm: Confirm = async () => true,
): Promise<boolean> {
  if (decision.settlements.length > 0) await deps.spool.settle([...decision.settlements]);
  for (const notification of decision.notifications)
    if (!(await sendNotification(deps, notification, confirm))) return false;
  for (const line of decision.logLines) writeLine(deps.log, line);
  deps.metrics.dead(decision.deadRecipients);
  if (decision.withheld !== undefined) deps.metrics.withheld(decision.withheld);
  for (const job of decision.deadJobs) await deps.addDead(job);
  return true;
}

/**
 * @returns false when it was not confirmed; nothing is then stored or settled
 * @throws SpoolFull, SpoolUnavailable; as if it was not confirmed
 */
async function sendNotification(
  deps: PublishDeps,
  notification: PlannedNotification,
  confirm: Confirm,
): Promise<boolean> {
  const { config, log, spool } = deps;
  const { original, kind, recipients, settles } = notification;
  const { id, envelope, tlsOptional } = original.meta;
  const nowMs = deps.now();
  const dsn: Dsn = {
    kind,
    id: notificationId(id, kind, recipients),
    boundary: `report-${makeQueueId(nowMs, deps.random())}`,
    madeAtMs: nowMs,
    hostname: config.hostname,
    from: { name: config.dsn.name, address: config.dsn.from ?? `MAILER-DAEMON@${config.hostname}` },
    to: envelope.reversePath,
    original: await describeOriginal(original, kind, config.dsn, (error) =>
      log.error({ err: error, id, kind }, "the body of a message cannot be returned"),
    ),
    recipients,
    // RFC 8689 §6: a report about a server's broken TLS must not get stuck on the same.
    ...(tlsOptional === true ? { tlsOptional } : {}),
  };
  const built = buildDsn(dsn);
  const { traceparent } = original.meta;
  const span =
    traceparent && deps.tracing?.startSpan("notification", traceparent, nowMs, { "postern.kind": kind });
  const meta: MessageMeta = {
    ...notificationMeta(dsn, built, envelope.requireTls === true),
    ...(span ? { traceparent: span.traceparent } : {}),
  };
  const draft = spool.draft();
  let stored: StoredMessage;
  try {
    await draft.write(built.bytes);
    if (!(await confirm(notification))) return false;
    stored = await draft.commit(meta, settles);
  } finally {
    await draft.discard();
    if (span) span.end(deps.now(), { attributes: { "postern.id": id, "postern.dsn.id": dsn.id } });
  }
  deps.schedule(stored, [deps.summarizeRoute(meta)]);
  deps.metrics.made(kind);
  logEvent(log, {
    event: "dsn.made",
    id,
    dsnId: dsn.id,
    kind,
    from: "",
    to: dsn.to,
    recipients: recipients.slice(0, 100).map(({ address }) => address),
    statuses: [...new Set(recipients.map(({ report }) => report.status))],
    size: meta.size,
  });
  return true;
}

/** The record that the notification gets in the spool: mail of the null sender (RFC 5321 §4.5.5) to the original's sender. */
function notificationMeta(dsn: Dsn, built: BuiltDsn, requireTls: boolean): MessageMeta {
  return {
    version: 1,
    id: dsn.id,
    receivedAtMs: dsn.madeAtMs,
    envelope: {
      reversePath: "",
      recipients: [{ address: dsn.to }],
      // BODY is not declared: a server without 8BITMIME would then never get the notification. has8bit is enough.
      ...(built.smtputf8 ? { smtputf8: true } : {}),
      // RFC 8689 §5: the TLS requirement of the message applies to its notification too.
      ...(requireTls ? { requireTls } : {}),
    },
    origin: null,
    received: "",
    messageId: built.messageId,
    ...(dsn.tlsOptional === true ? { tlsOptional: true } : {}),
    size: built.bytes.length,
    has8bit: built.has8bit,
    parts: [[0]],
  };
}

export interface BounceMetrics {
  made(kind: DsnKind): void;
  /** The sender gets no notification: by `dsn.to`, or since there is no address to send it to. */
  withheld(kind: DsnKind): void;
  /** Recipients that could be neither delivered nor reported. */
  dead(recipients: number): void;
}

/** @param metrics  of the process; absent: nothing is exported */
export function createBounceMetrics(metrics?: Metrics): BounceMetrics {
  if (metrics === undefined) return { made() {}, withheld() {}, dead() {} };
  const made = metrics.counter(
    "notifications_total",
    "Delivery status notifications made, by kind. `failed` jumps: much mail is refused by its servers, or the gateway sends backscatter to forged senders, see dsn.to.",
    ["kind"],
  );
  const withheld = metrics.counter(
    "notifications_withheld_total",
    "Delivery status notifications that the sender did not get (dsn.to, dsn.delays_to), by kind. `failed` jumps: `dead` grows, see `postern queue list --status dead`.",
    ["kind"],
  );
  const dead = metrics
    .counter(
      "bounce_dead_recipients_total",
      "Recipients that could be neither delivered nor reported to a sender. Grows: see `postern queue list --status dead`.",
    )
    .with();
  return {
    made: (kind) => made.with(kind).add(),
    withheld: (kind) => withheld.with(kind).add(),
    dead: (recipients) => dead.add(recipients),
  };
}
