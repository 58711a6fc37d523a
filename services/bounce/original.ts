/** What a notification takes from the original message: header section, subject and date, and all of it where that is asked for and small. */
import type { Config } from "../../shared/config/schema.ts";
import type { Envelope } from "../../shared/mail/envelope.ts";
import { headerSection, readStart } from "../../shared/spool/header-section.ts";
import { type Body, SpoolCorrupt, SpoolUnavailable } from "../../shared/spool/spool.ts";
import type { Original } from "./bounce-decision.ts";
import type { DsnKind, DsnOriginal } from "./dsn.ts";

const nothing = Buffer.alloc(0);

/** @param onUnreadable  hears that the body cannot be read; nothing of it is returned then */
export async function describeOriginal(
  { meta, body }: Original,
  kind: DsnKind,
  config: Config["dsn"],
  onUnreadable: (error: SpoolCorrupt | SpoolUnavailable) => void,
): Promise<DsnOriginal> {
  const { envelope, origin } = meta;
  const wanted = attachmentFor(kind, envelope, meta.size, config);
  // The text part names the subject even where nothing is attached.
  const maxBytes = wanted === "full" ? config.max_attach : Math.max(config.max_attach, 16_384);
  const start = body && (await readableStart(body, maxBytes, onUnreadable));
  const attach = start === undefined ? "none" : wanted;
  const section = start === undefined ? nothing : headerSection(start);
  return {
    id: meta.id,
    receivedAtMs: meta.receivedAtMs,
    ...(envelope.envid === undefined ? {} : { envid: envelope.envid }),
    ...(origin === null ? {} : { client: { helo: origin.helo, address: origin.connection.client.address } }),
    smtputf8: envelope.smtputf8 === true,
    header: attach === "none" ? section : cutToFields(section, Math.max(config.max_attach, 1)),
    ...(attach === "full" && start !== undefined ? { full: start } : {}),
    attach: attach !== "none",
  };
}

async function readableStart(
  body: Body,
  maxBytes: number,
  onUnreadable: (error: SpoolCorrupt | SpoolUnavailable) => void,
): Promise<Buffer | undefined> {
  try {
    return await readStart(body, maxBytes);
  } catch (error) {
    if (!(error instanceof SpoolCorrupt || error instanceof SpoolUnavailable)) throw error;
    onUnreadable(error);
    return undefined;
  }
}

/**
 * How much of the original is returned.
 * RFC 3461 §4.3: RET is about failures; other notifications carry the header at most. RFC 8689 §5: a message that
 * had to travel over TLS may come back over connections without it, hence always as if RET=HDRS had been said.
 * @param size  of the original, in octets
 */
function attachmentFor(
  kind: DsnKind,
  { ret, requireTls }: Pick<Envelope, "ret" | "requireTls">,
  size: number,
  { attach, max_attach }: Pick<Config["dsn"], "attach" | "max_attach">,
): "none" | "headers" | "full" {
  const asked = requireTls === true ? "HDRS" : ret;
  const wanted = asked === "FULL" ? "full" : asked === "HDRS" ? "headers" : attach;
  return wanted === "full" && (kind !== "failed" || size > max_attach) ? "headers" : wanted;
}

/** The header section cut between fields so that it has at most `maxBytes`. */
export function cutToFields(section: Buffer, maxBytes: number): Buffer {
  if (section.length <= maxBytes) return section;
  let end = 0;
  for (let at = section.indexOf(10); at >= 0 && at < maxBytes; at = section.indexOf(10, at + 1)) {
    // RFC 5322 §2.2.3: a line that begins with a space or tab continues the field above it.
    const next = section[at + 1];
    if (next !== 32 && next !== 9) end = at + 1;
  }
  return section.subarray(0, end);
}

/** The unfolded value of a field's first occurrence; `undefined` when there is none. @param name  lower case */
export function fieldValue(section: Buffer, name: string): string | undefined {
  const text = section.toString("utf8");
  for (const field of text.split(/\r\n(?![ \t])/)) {
    const colon = field.indexOf(":");
    if (colon > 0 && field.slice(0, colon).trimEnd().toLowerCase() === name) {
      return field
        .slice(colon + 1)
        .replace(/\r\n(?=[ \t])/g, "")
        .trim();
    }
  }
  return undefined;
}
