/** Takes responsibility for a message: its record, on stable storage; then its jobs. 250 may be said only after that. */
import { randomFillSync } from "node:crypto";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import type { MessageMeta, Origin, TriedInline } from "../../../shared/mail/message.ts";
import { makeQueueId } from "../../../shared/mail/queue-id.ts";
import { formatReceived, protocolKeyword, type TlsSummary } from "../../../shared/mail/received.ts";
import type { Publisher } from "../../../shared/queue/contract/queue.ts";
import {
  groupByNextHop,
  type Route,
  type RouteGroup,
  type RouteSummary,
  summarizeRoute,
} from "../../../shared/routing/route.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { Draft, Settlement, Spool, StoredMessage } from "../../../shared/spool/spool.ts";

/** What a session knows of a message that was received whole. */
export interface ReceivedMessage {
  connection: ClientConnection;
  /** The gateway's own name. */
  hostname: string;
  helo: string;
  ehlo: boolean;
  tls: TlsSummary | undefined;
  envelope: Envelope;
  /** Where each recipient goes, in the envelope's order. */
  routes: Route[];
  messageId: string | undefined;
  size: number;
  has8bit: boolean;
  /** The header says `TLS-Required: No`. */
  tlsOptional?: boolean;
  /** Recipients who have the message already, by index; they have no route, and stand behind those who have one. */
  delivered?: number[];
  /** Recipients who were tried already, to no avail; by index. */
  tried?: TriedInline;
}

/** What a message is known by, and what the gateway writes on it. */
export interface TraceInfo {
  /** The queue id. */
  id: string;
  /** When it was received, epoch milliseconds. */
  atMs: number;
  /** The Received field. */
  received: string;
}

export interface AcceptedRecord {
  meta: MessageMeta;
  /** What the record itself settles: who has the message already. */
  settles?: Settlement;
  /** The route of each of `meta.parts`. */
  routes: RouteSummary[];
}

type Sender = Pick<ReceivedMessage, "connection" | "helo" | "ehlo" | "tls" | "envelope">;

export function originOf({ connection, helo, ehlo, tls, envelope }: Sender): Origin {
  const protocol = protocolKeyword({ ehlo, tls: tls !== undefined, smtputf8: envelope.smtputf8 === true });
  return { connection, helo, protocol };
}

/** Pure. @param id  the queue id that the message gets */
export function makeTraceInfo(message: Sender & { hostname: string }, id: string, atMs: number): TraceInfo {
  const { connection, envelope, helo, hostname, tls } = message;
  const [only, ...others] = envelope.recipients;
  const received = formatReceived({
    helo,
    clientAddress: connection.client.address,
    hostname,
    protocol: originOf(message).protocol,
    id,
    atMs,
    ...(tls === undefined ? {} : { tls }),
    ...(only === undefined || others.length > 0 ? {} : { recipient: only.address }),
  });
  return { id, atMs, received };
}

/** The record of a message. Pure. */
export function makeRecord(message: ReceivedMessage, { id, atMs, received }: TraceInfo): AcceptedRecord {
  const { envelope, messageId, delivered = [], tried } = message;
  // RFC 8689 §4.1: beside REQUIRETLS the field is not heeded.
  const tlsOptional = message.tlsOptional === true && envelope.requireTls !== true;
  const groups = groupByNextHop(message.routes).flatMap((group) => splitTried(group, tried));
  return {
    meta: {
      version: 1,
      id,
      receivedAtMs: atMs,
      envelope,
      origin: originOf(message),
      received,
      ...(messageId === undefined ? {} : { messageId }),
      ...(tlsOptional ? { tlsOptional } : {}),
      size: message.size,
      has8bit: message.has8bit,
      parts: groups.map((group) => group.recipients),
      ...(tried === undefined ? {} : { tried }),
    },
    routes: groups.map((group) => summarizeRoute(group.route)),
    ...(delivered.length === 0
      ? {}
      : { settles: { id, recipients: delivered, state: { kind: "delivered" } } }),
  };
}

/** Who was tried already waits for the next attempt; the others need not. */
function splitTried({ recipients, route }: RouteGroup, tried: TriedInline | undefined): RouteGroup[] {
  if (tried === undefined) return [{ recipients, route }];
  const waiting = new Set(tried.last.flatMap((entry) => entry.recipients));
  const groups = Map.groupBy(recipients, (recipient) => waiting.has(recipient));
  return [...groups.values()].map((some) => ({ recipients: some, route }));
}

/** 45 bits a message, drawn for many at a time. */
const randomPool = new Uint8Array(9 * 400);
let randomUsed = randomPool.length;

export function nextQueueId(nowMs: number): string {
  if (randomUsed === randomPool.length) {
    randomFillSync(randomPool);
    randomUsed = 0;
  }
  randomUsed += 9;
  return makeQueueId(nowMs, randomPool.subarray(randomUsed - 9, randomUsed));
}

export type Acceptance =
  | { kind: "accepted"; message: StoredMessage }
  /** The storage said no. */
  | { kind: "failed"; error: unknown }
  /** The storage said nothing within the deadline. */
  | { kind: "late" };

export interface Acceptor {
  spool: Spool;
  publisher: Publisher;
  log: Logger;
  /** How long a client is left waiting for the storage; below the 10 minutes that it gives us (RFC 5321 §4.5.3.2.6). */
  deadlineMs: number;
}

/**
 * Commits and publishes. Never rejects.
 *
 * After `late` the client hears 451 and keeps the message. Should the commit succeed after all, the record is settled as
 * removed and never published: the client will send the message again, and only that copy is delivered. A crash between
 * the two leaves a record that the keeper finds, and the mail arrives twice rather than never.
 */
export function accept(draft: Draft, record: AcceptedRecord, acceptor: Acceptor): Promise<Acceptance> {
  return new Promise((resolve) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      resolve({ kind: "late" });
    }, acceptor.deadlineMs);
    draft.commit(record.meta, record.settles).then(
      (message) => {
        clearTimeout(timer);
        if (late) {
          void removeLateMessage(message, acceptor);
        } else {
          publish(message, record.routes, acceptor);
          resolve({ kind: "accepted", message });
        }
      },
      (error: unknown) => {
        clearTimeout(timer);
        resolve({ kind: "failed", error });
      },
    );
  });
}

/** Whatever becomes of it: the message is stored, and the keeper finds what no queue has. */
function publish(message: StoredMessage, routes: RouteSummary[], { publisher, log }: Acceptor): void {
  if (routes.length === 0) return;
  try {
    publisher.publish(message, routes);
  } catch (error) {
    log.error({ id: message.meta.id, err: error }, "an accepted message waits for the keeper to schedule it");
  }
}

async function removeLateMessage(message: StoredMessage, { spool, log }: Acceptor): Promise<void> {
  const { id, envelope } = message.meta;
  try {
    await spool.settle([{ id, recipients: [...envelope.recipients.keys()], state: { kind: "removed" } }]);
    log.warn({ id }, "stored too late: the client was told 451, the copy is removed");
  } catch (error) {
    log.error({ id, err: error }, "stored too late, and it cannot be removed: it will be delivered as well");
  }
}
