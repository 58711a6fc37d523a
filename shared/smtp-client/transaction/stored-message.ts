/** A message from the spool as it goes over the wire to a next hop. Pure. */
import type { Envelope } from "../../mail/envelope.ts";
import type { MessageMeta } from "../../mail/message.ts";
import type { Body } from "../../spool/spool.ts";
import { type MessageTraits, needsSmtpUtf8 } from "./mail-commands.ts";

export interface OutgoingMessage {
  envelope: Envelope;
  traits: MessageTraits;
  /** The Received field; empty where the delivery is hidden. */
  prefix: Buffer;
  body: Body;
}

const nothing = Buffer.alloc(0);

/** @param recipients  indexes of the recipients of this transaction */
export function outgoingMessage(
  meta: MessageMeta,
  recipients: number[],
  body: Body,
  hide: boolean,
): OutgoingMessage {
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

/** A body of another size than the record says must not go out as if it were whole. @returns what is wrong, for the log */
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
