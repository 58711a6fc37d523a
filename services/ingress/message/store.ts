/** From the final dot to the reply: waits for the storage, in bounded time, and says what the client is to hear. */
import { settlesWithin } from "../../../shared/runtime/with-timeout.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { StoredMessage } from "../../../shared/spool/spool.ts";
import { type Acceptor, accept, makeRecord, type ReceivedMessage, type TraceInfo } from "./accept.ts";
import { type DataReceiver, storageReply } from "./data-receiver.ts";

export type Stored =
  | {
      kind: "accepted";
      id: string;
      rows: string[];
      /** In the spool; absent: it need not be there, everybody has it. */
      message?: StoredMessage;
      /** What the far server said, where the client is to hear that. */
      reply?: Reply;
    }
  | { kind: "refused"; reply: Reply };

/** Never rejects. The draft has ended, or been given up, when it resolves. */
export async function storeMessage(
  receiver: DataReceiver,
  message: ReceivedMessage,
  acceptor: Acceptor,
  trace: TraceInfo,
): Promise<Stored> {
  const { id } = trace;
  try {
    await waitUntilWritten(receiver, acceptor.deadlineMs);
    if (receiver.refusal !== undefined) return { kind: "refused", reply: receiver.refusal };
    const record = makeRecord(message, trace);
    const acceptance = await accept(receiver.draft, record, acceptor);
    if (acceptance.kind === "failed") throw acceptance.error;
    if (acceptance.kind === "late") throw new Error("the storage did not answer in time");
    const rows = [...new Set(message.routes.map((route) => route.row))];
    return { kind: "accepted", id, rows, message: acceptance.message };
  } catch (error) {
    return notStored(error, message, acceptor, id);
  }
}

/** Waits until the storage has taken what came so far. @throws what it said, or that it said nothing in time */
export async function waitUntilWritten(receiver: DataReceiver, deadlineMs: number): Promise<void> {
  const { pressure } = receiver;
  if (pressure !== undefined && !(await settlesWithin(pressure, deadlineMs)))
    throw new Error("the storage did not answer in time");
  if (receiver.storageError !== undefined) throw receiver.storageError;
}

/** The storage's trouble or our own bug: either way the client keeps the message. */
export function notStored(
  error: unknown,
  { connection }: ReceivedMessage,
  { log }: Acceptor,
  id: string,
): Stored & { kind: "refused" } {
  log.error({ session: connection.id, id, err: error }, "cannot store a message");
  return { kind: "refused", reply: storageReply(error) };
}
