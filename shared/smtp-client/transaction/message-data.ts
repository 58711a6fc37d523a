/** A message as it goes over the wire to a next hop, and the sending of its data (RFC 5321 §4.1.1.4). */
import type { Envelope } from "../../mail/envelope.ts";
import type { MessageMeta } from "../../mail/message.ts";
import { DotStuffer } from "../../smtp/dot-stuffing.ts";
import { type Body, SpoolCorrupt } from "../../spool/spool.ts";
import type { SmtpConnection } from "../session/connection.ts";
import { type MessageTraits, needsSmtpUtf8 } from "./mail-commands.ts";

export interface Outgoing {
  envelope: Envelope;
  traits: MessageTraits;
  /** The Received field; empty where the delivery is hidden. */
  prefix: Buffer;
  body: Body;
}

/** A body in memory goes out in blocks of this size, each with its time-out; most are one block. */
const blockOctets = 256 * 1024;
const nothing = Buffer.alloc(0);

/** @param recipients  indexes of those it goes to now */
export function outgoing(meta: MessageMeta, recipients: number[], body: Body, hide: boolean): Outgoing {
  const { envelope } = meta;
  const prefix = hide ? nothing : Buffer.from(meta.received, "utf8");
  const isInternational = needsSmtpUtf8(
    envelope,
    recipients.map((index) => envelope.recipients[index]).filter((recipient) => recipient !== undefined),
    envelope.smtputf8 ? headerHas8bit(meta, body) : false,
  );
  const traits = {
    octets: meta.size + prefix.length,
    has8bit: meta.has8bit,
    needsSmtpUtf8: isInternational,
  };
  return { envelope, traits, prefix, body };
}

/** A body that is not what the record says must not go out as if it were whole. @returns what is wrong, for the log */
export function damageOf(meta: MessageMeta, body: Body): string | undefined {
  const octets = body.kind === "buffer" ? body.bytes.length : body.size;
  if (octets === meta.size) return undefined;
  return `the spool has ${octets} octets of a message of ${meta.size}`;
}

function headerHas8bit(meta: MessageMeta, body: Body): boolean | undefined {
  if (!meta.has8bit) return false;
  if (body.kind === "file") return undefined;
  const { bytes } = body;
  const end = bytes.indexOf("\r\n\r\n", 0, "latin1");
  const length = end < 0 ? bytes.length : end;
  for (let i = 0; i < length; i++) if ((bytes[i] ?? 0) > 127) return true;
  return false;
}

export type DataSent =
  /** The final dot is written: from here on the message may have arrived. */
  | { kind: "sent" }
  /** A reply came, or the connection was lost, before the dot: hear() tells which. */
  | { kind: "interrupted" }
  /** Our own spool failed; the connection is destroyed, so that the server cannot take a part for the whole. */
  | { kind: "unreadable"; reason: string };

/**
 * @param timeoutMs  for each block (RFC 5321 §4.5.3.2.5)
 * @throws SpoolCorrupt when the body turns out to be damaged; the connection is destroyed then too
 */
export async function sendData(
  connection: SmtpConnection,
  message: Outgoing,
  timeoutMs: number,
): Promise<DataSent> {
  const { body, prefix } = message;
  const stuffer = new DotStuffer();
  if (body.kind === "file") return sendFile(connection, message, body, stuffer, timeoutMs);
  const { bytes } = body;
  if (bytes.length <= blockOctets) {
    // The usual case: everything in one write, so in one segment or few.
    const stuffed = stuffer.stuff(bytes);
    const end = stuffer.end();
    const wire = Buffer.allocUnsafe(prefix.length + stuffed.length + end.length);
    prefix.copy(wire);
    stuffed.copy(wire, prefix.length);
    wire.write(end, prefix.length + stuffed.length, "latin1");
    if (isInterrupted(connection)) return { kind: "interrupted" };
    connection.write(wire);
    return { kind: "sent" };
  }
  connection.write(prefix);
  for (let at = 0; at < bytes.length; at += blockOctets) {
    if (!connection.write(stuffer.stuff(bytes.subarray(at, at + blockOctets)))) {
      await connection.drained(timeoutMs);
    }
    if (isInterrupted(connection)) return { kind: "interrupted" };
  }
  connection.write(stuffer.end());
  return { kind: "sent" };
}

async function sendFile(
  connection: SmtpConnection,
  message: Outgoing,
  body: Extract<Body, { kind: "file" }>,
  stuffer: DotStuffer,
  timeoutMs: number,
): Promise<DataSent> {
  connection.write(message.prefix);
  const stream = body.open();
  const watchdog = () =>
    setTimeout(() => stream.destroy(new Error(`nothing could be read for ${timeoutMs} ms`)), timeoutMs);
  let timer = watchdog();
  let octets = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      octets += chunk.length;
      if (!connection.write(stuffer.stuff(chunk))) await connection.drained(timeoutMs);
      if (isInterrupted(connection)) return { kind: "interrupted" };
      timer = watchdog();
    }
  } catch (error) {
    const failed = unreadable(connection, (error as Error).message);
    // Trying again cannot help: who asked for the attempt decides.
    if (error instanceof SpoolCorrupt) throw error;
    return failed;
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
  if (octets !== body.size) return unreadable(connection, `it has ${octets} octets of ${body.size}`);
  connection.write(stuffer.end());
  return { kind: "sent" };
}

function unreadable(connection: SmtpConnection, reason: string): DataSent {
  connection.destroy("aborted", "the message could not be read");
  return { kind: "unreadable", reason };
}

function isInterrupted(connection: SmtpConnection): boolean {
  return connection.hasReply || connection.disconnectReason !== undefined;
}
