/**
 * Takes responsibility for a message: its record, on stable storage; then its jobs. 250 may be sent only after that, and
 * within a bounded time after the final dot.
 */
import type { Publisher } from "../../../shared/queue/contract/queue.ts";
import type { RouteSummary } from "../../../shared/routing/route.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import { settlesWithin } from "../../../shared/runtime/with-timeout.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { Draft, Spool, StoredMessage } from "../../../shared/spool/spool.ts";
import { type DataReceiver, storageReply } from "./data-receiver.ts";
import { type AcceptedRecord, makeRecord, type ReceivedMessage, type TraceInfo } from "./record.ts";

export interface Acceptor {
  spool: Spool;
  publisher: Publisher;
  log: Logger;
  /** How long a client waits for the storage; below the 10 minutes that it gives us (RFC 5321 §4.5.3.2.6). */
  deadlineMs: number;
}

/** What becomes of a message at its final dot. */
export type Acceptance =
  | {
      kind: "accepted";
      id: string;
      rows: string[];
      /** In the spool; absent where nothing was stored: all recipients have the message. */
      message?: StoredMessage;
      /** The remote server's reply, where the client is to get that. */
      reply?: Reply;
    }
  | { kind: "refused"; reply: Reply };

/** Stores a message and publishes its jobs. Never rejects; the draft has ended, or been discarded, when it resolves. */
export async function storeMessage(
  receiver: DataReceiver,
  message: ReceivedMessage,
  acceptor: Acceptor,
  trace: TraceInfo,
): Promise<Acceptance> {
  const { id } = trace;
  try {
    await waitUntilWritten(receiver, acceptor.deadlineMs);
    if (receiver.refusal !== undefined) return { kind: "refused", reply: receiver.refusal };
    const record = makeRecord(message, trace);
    const stored = await commit(receiver.draft, record, acceptor);
    publish(stored, record.routes, acceptor);
    return { kind: "accepted", id, rows: rowsOf(message), message: stored };
  } catch (error) {
    return refuseUnstored(error, message, acceptor, id);
  }
}

/** Waits until the storage has written what came so far. @throws its error, or that it did not answer in time */
export async function waitUntilWritten(receiver: DataReceiver, deadlineMs: number): Promise<void> {
  const { pressure } = receiver;
  if (pressure !== undefined && !(await settlesWithin(pressure, deadlineMs))) throw storageTooSlow();
  if (receiver.storageError !== undefined) throw receiver.storageError;
}

/** An error of the storage, or a fault of our own: either way the client keeps the message. */
export function refuseUnstored(
  error: unknown,
  { connection }: ReceivedMessage,
  { log }: Acceptor,
  id: string,
): Acceptance & { kind: "refused" } {
  log.error({ session: connection.id, id, err: error }, "cannot store a message");
  return { kind: "refused", reply: storageReply(error) };
}

/** The rows of the routing table that decided, each once. */
export function rowsOf({ routes }: ReceivedMessage): string[] {
  return [...new Set(routes.map(({ row }) => row))];
}

/**
 * After a time-out the client gets 451 and keeps the message. Should the commit succeed after all, the record is settled
 * as removed and never published: the client sends the message again, and only that copy is delivered. A crash between
 * the two leaves a record that the reconciler finds, and the mail arrives twice rather than never.
 * @throws the storage's error, or that it did not answer in time
 */
async function commit(
  draft: Draft,
  { meta, settles }: AcceptedRecord,
  acceptor: Acceptor,
): Promise<StoredMessage> {
  const committed = draft.commit(meta, settles);
  if (await settlesWithin(committed, acceptor.deadlineMs)) return committed;
  committed.then(
    (message) => removeLateMessage(message, acceptor),
    () => {},
  );
  throw storageTooSlow();
}

/** Never throws: the message is stored, and the reconciler finds what no queue has. */
function publish(message: StoredMessage, routes: RouteSummary[], { publisher, log }: Acceptor): void {
  if (routes.length === 0) return;
  try {
    publisher.publish(message, routes);
  } catch (error) {
    log.error(
      { id: message.meta.id, err: error },
      "an accepted message waits for the reconciler to enqueue it",
    );
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

function storageTooSlow(): Error {
  return new Error("the storage did not answer in time");
}
