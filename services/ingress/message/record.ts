/** What is recorded of an accepted message: its id, its trace information, its envelope and its recipient groups. */
import { randomFillSync } from "node:crypto";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import type { MessageMeta, Origin, TriedInline } from "../../../shared/mail/message.ts";
import { chooseShard, makeQueueId } from "../../../shared/mail/queue-id.ts";
import { formatReceived, protocolKeyword, type TlsSummary } from "../../../shared/mail/received.ts";
import {
  groupByNextHop,
  type Route,
  type RouteGroup,
  type RouteSummary,
  summarizeRoute,
} from "../../../shared/routing/route.ts";
import type { Success } from "../../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../../shared/spool/spool.ts";

/** How a client introduced itself. */
export interface ClientGreeting {
  /** "" before HELO or EHLO. */
  helo: string;
  ehlo: boolean;
  tls: TlsSummary | undefined;
  /** Who has logged in. */
  user: string | undefined;
}

/** A client and the envelope that it gave. */
export interface Sender extends ClientGreeting {
  connection: ClientConnection;
  envelope: Envelope;
}

/** What a session knows of a message that was received whole. */
export interface ReceivedMessage extends Sender {
  /** The gateway's own name. */
  hostname: string;
  /** Where each recipient goes, in the envelope's order. */
  routes: Route[];
  messageId: string | undefined;
  size: number;
  has8bit: boolean;
  /** The header says `TLS-Required: No`. */
  tlsOptional?: boolean;
  /** Recipients that have the message already, by index; they come last and have no route. Their report is pending. */
  delivered?: { recipients: number[]; success: Success };
  /** Recipients that were tried inline without success, by index. */
  tried?: TriedInline;
}

/** What identifies a message, and what the gateway writes at its top. */
export interface TraceInfo {
  /** The queue id. */
  id: string;
  /** When it was received, epoch milliseconds. */
  atMs: number;
  /** The Received field. */
  received: string;
  /** Absent: the message is not traced. */
  traceparent?: string;
}

export interface AcceptedRecord {
  meta: MessageMeta;
  /** What the record itself settles: the recipients that have the message already. */
  settles?: Settlement;
  /** What to show and match as the route of each of `meta.parts`. */
  routes: RouteSummary[];
}

export function originOf({ connection, helo, ehlo, tls, user, envelope }: Sender): Origin {
  const protocol = protocolKeyword({
    ehlo,
    tls: tls !== undefined,
    auth: user !== undefined,
    smtputf8: envelope.smtputf8 === true,
  });
  return { connection, helo, protocol, ...(user === undefined ? {} : { user }) };
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
export function makeRecord(
  message: ReceivedMessage,
  { id, atMs, received, traceparent }: TraceInfo,
): AcceptedRecord {
  const { envelope, messageId, delivered, tried } = message;
  // RFC 8689 §4.1: beside REQUIRETLS the field is ignored.
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
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(tried === undefined ? {} : { tried }),
    },
    routes: groups.map((group) => summarizeRoute(group.route)),
    ...(delivered === undefined
      ? {}
      : {
          settles: {
            id,
            recipients: delivered.recipients,
            state: { kind: "delivered", success: delivered.success },
          },
        }),
  };
}

/** Recipients that were tried inline wait for the next attempt; the others are delivered at once, by a job of their own. */
function splitTried({ recipients, route }: RouteGroup, tried: TriedInline | undefined): RouteGroup[] {
  if (tried === undefined) return [{ recipients, route }];
  const waiting = new Set(tried.last.flatMap((entry) => entry.recipients));
  const groups = Map.groupBy(recipients, (recipient) => waiting.has(recipient));
  return [...groups.values()].map((some) => ({ recipients: some, route }));
}

/** 45 bits a message, drawn for many at a time. */
const randomPool = new Uint8Array(9 * 400);
let randomUsed = randomPool.length;

/** @param shards  over which the queues are spread */
export function nextQueueId(nowMs: number, shards: number): string {
  if (randomUsed === randomPool.length) {
    randomFillSync(randomPool);
    randomUsed = 0;
  }
  randomUsed += 9;
  const random = randomPool.subarray(randomUsed - 9, randomUsed);
  return makeQueueId(nowMs, random, chooseShard(random, shards));
}
