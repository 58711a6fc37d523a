/** One notification on its way: what it says is gathered, made into a message, stored, scheduled. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { BounceJob } from "../../shared/queue/contract/contract.ts";
import type { DeadJob } from "../../shared/queue/contract/dead-job.ts";
import type { RouteSummary } from "../../shared/routing/route.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Body, Settlement, Spool, StoredMessage } from "../../shared/spool/spool.ts";
import type { BounceMetrics } from "./bounce-metrics.ts";
import { type BuiltDsn, buildDsn } from "./build-dsn.ts";
import type { Dsn, DsnKind, DsnOriginal, DsnRecipient } from "./dsn.ts";
import { attachmentFor, cutToFields, headerSection } from "./original.ts";
import { readStart } from "./read-start.ts";

export interface NotifierDependencies {
  config: Pick<Config, "hostname" | "dsn">;
  log: Logger;
  metrics: BounceMetrics;
  spool: Spool;
  /** Schedules what is in the spool already; it may take its time. */
  publish(message: StoredMessage, routes: RouteSummary[]): void;
  addDead(job: DeadJob): Promise<void>;
  /** The route that the job of a notification carries until its first attempt. */
  summarizeRoute(meta: MessageMeta): RouteSummary;
  /** Epoch milliseconds. */
  now(): number;
  random(): Uint8Array;
}

/** The message that a notification is about, with the states of its recipients. */
export interface Original {
  meta: MessageMeta;
  body: Body;
  states: ReadonlyMap<number, RecipientState>;
  job: BounceJob;
}

/**
 * Writes the notification to the spool, together with what it settles, and schedules it.
 * @throws SpoolFull, SpoolUnavailable; nothing is then stored or settled
 */
export async function sendNotification(
  deps: NotifierDependencies,
  original: Original,
  kind: DsnKind,
  recipients: DsnRecipient[],
  settlement?: Settlement,
): Promise<void> {
  const { config, log, spool } = deps;
  const sender = original.meta.envelope.reversePath;
  const nowMs = deps.now();
  const dsn: Dsn = {
    kind,
    id: makeQueueId(nowMs, deps.random()),
    madeAtMs: nowMs,
    hostname: config.hostname,
    from: { name: config.dsn.name, address: config.dsn.from ?? `MAILER-DAEMON@${config.hostname}` },
    to: sender,
    original: await describeOriginal(original, kind, config.dsn),
    recipients,
    // RFC 8689 §6: a report about a server's broken TLS must not get stuck on the same.
    ...(original.meta.tlsOptional === true ? { tlsOptional: true } : {}),
  };
  const built = buildDsn(dsn);
  const meta = notificationMeta(dsn, built, original.meta.envelope.requireTls === true);
  const draft = spool.draft();
  let stored: StoredMessage;
  try {
    await draft.write(built.bytes);
    stored = await draft.commit(meta, settlement);
  } finally {
    await draft.discard();
  }
  deps.publish(stored, [deps.summarizeRoute(meta)]);
  deps.metrics.made(kind);
  log.info({
    event: "dsn.made",
    id: original.meta.id,
    dsnId: dsn.id,
    kind,
    from: "",
    to: sender,
    recipients: recipients.slice(0, 100).map(({ address }) => address),
    statuses: [...new Set(recipients.map(({ report }) => report.status))],
    size: meta.size,
  });
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
      // BODY is not declared: a server that does not offer 8BITMIME would then never hear the news. has8bit says enough.
      ...(built.smtputf8 ? { smtputf8: true } : {}),
      // RFC 8689 §5: the wish travels with the news of the message.
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

async function describeOriginal(
  { meta, body }: Original,
  kind: DsnKind,
  config: Config["dsn"],
): Promise<DsnOriginal> {
  const { envelope, origin } = meta;
  const attach = attachmentFor(kind, envelope, meta.size, config);
  // The text part names the subject even where nothing is attached.
  const start = await readStart(
    body,
    attach === "full" ? config.max_attach : Math.max(config.max_attach, 16_384),
  );
  const section = headerSection(start);
  return {
    id: meta.id,
    receivedAtMs: meta.receivedAtMs,
    ...(envelope.envid === undefined ? {} : { envid: envelope.envid }),
    ...(origin === null ? {} : { client: { helo: origin.helo, address: origin.connection.client.address } }),
    smtputf8: envelope.smtputf8 === true,
    header: attach === "none" ? section : cutToFields(section, Math.max(config.max_attach, 1)),
    ...(attach === "full" ? { full: start } : {}),
    attach: attach !== "none",
  };
}
