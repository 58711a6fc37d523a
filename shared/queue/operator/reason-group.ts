/**
 * Reasons without what differs from message to message (ids, addresses, numbers, hosts), so that equal ones are counted
 * together. The reply's code, its enhanced status and its words stay. Pure.
 */
import type { Diagnosis } from "../../smtp/diagnosis.ts";

/** One reason, whatever message and host it came with. */
export interface ReasonGroup {
  /** `450 4.2.0 Mailbox busy, … messages queued`; without a reply `4.4.1 cannot connect to … port 25: refused`. */
  key: string;
  /** The reply's code; `null` when no server said it. */
  code: number | null;
  /** The enhanced status; `null` when there was no attempt. */
  status: string | null;
  /** The words, with `…` for what was taken out. */
  text: string;
}

/** What was taken out. */
const gap = "…";
const maxText = 200;
/** Replies may be long; no more of them is looked at. */
const maxLength = 1_000;

/** Words with digits that mean the same in every reply. */
const wordWithDigits =
  /^(?:[245]\.\d{1,3}\.\d{1,3}|rfc-?\d{3,5}|tlsv?\d(?:\.\d)?|sslv\d|ipv[46]|sha-?\d{1,3}|md5|x\.509|8bitmime|8-?bit|7-?bit|base64|utf-?8|smtputf8|o365|office365|[A-Z]{1,5}[-#]?\d{1,4})$/;
const number = /^[\d][\d.,:/_+-]*(?:[kmg]?i?b|bytes?|octets?|ms|[smhd]|sec|seconds?|min|minutes?|%)?$/i;
const longHex = /^[0-9a-f-]{12,}$/i;

/** @param names  names of the message's own that replies repeat: its recipients' domains */
export function reasonGroupOf(diagnosis: Diagnosis, names: readonly string[] = []): ReasonGroup {
  const { reply, status, remote } = diagnosis;
  const own = remote === undefined ? names : [...names, remote.host, remote.address];
  const said = reply === undefined ? diagnosis.reason : reply.lines.map(withoutStatus).join(" ");
  const text = generalise(said, own);
  const code = reply?.code ?? null;
  const key = [code, status, text].filter((part) => part !== null && part !== "").join(" ");
  return { key, code, status, text };
}

/** The group of mail that has no reply or failure to show. */
export function reasonOf(text: string): ReasonGroup {
  return { key: text, code: null, status: null, text };
}

/** Takes out of a text what belongs to one message or one host. */
export function generalise(said: string, names: readonly string[] = []): string {
  let text = said.slice(0, maxLength);
  // The longest first: a domain is a part of its hosts' names.
  for (const name of [...names].sort((a, b) => b.length - a.length)) {
    if (name.length > 3) text = replaceName(text, name);
  }
  text = text
    .replaceAll(/<[^<>\s]{0,400}>/g, gap)
    .replaceAll(/[^\s<>"'(),;:=]{1,64}@[^\s<>"'(),;:]{1,255}/g, gap)
    .replaceAll(/(https?:\/\/[^\s?#]{1,300})[?#]\S*/gi, "$1")
    .replaceAll(/\[?\b(?:[0-9a-f]{0,4}:){2,7}[0-9a-f.]{0,15}\b\]?/gi, gap)
    .replaceAll(/\[?\b\d{1,3}(?:\.\d{1,3}){3}\b\]?(?::\d{1,5}\b)?/g, gap);
  const words = text.split(/\s+/);
  const kept = words.map((word, index) =>
    /^(?:port|rfc)$/i.test(words[index - 1] ?? "") && /^\d{1,5}\W*$/.test(word) ? word : generaliseWord(word),
  );
  const joined = kept
    .join(" ")
    .replaceAll(/\[?…(?:[\s\][(){}.,:;/_-]*…)+\]?/g, gap)
    .replaceAll("[…]", gap)
    .trim();
  return joined.length > maxText ? `${joined.slice(0, maxText - 1)}${gap}` : joined;
}

/** A word is looked at without the punctuation around it, and `name=value` at both sides. */
function generaliseWord(word: string): string {
  if (!/[\da-f]/i.test(word)) return word;
  const [, before = "", core = "", after = ""] =
    /^([^\p{L}\p{N}]*)(.*?)([^\p{L}\p{N}%]*)$/su.exec(word) ?? [];
  const parts = core.split(/([=/|])/);
  return before + parts.map((part) => (isVariable(part) ? gap : part)).join("") + after;
}

function isVariable(part: string): boolean {
  if (part === gap || wordWithDigits.test(part) || wordWithDigits.test(part.toLowerCase())) return false;
  if (number.test(part) || longHex.test(part)) return true;
  const digits = part.replaceAll(/\D/g, "").length;
  return part.length >= 6 && digits >= 2;
}

/** In any case, as whole words. */
function replaceName(text: string, name: string): string {
  const inLowerCase = text.toLowerCase();
  const wanted = name.toLowerCase();
  // A letter that has more code units in lower case moves the others.
  if (inLowerCase.length !== text.length) return text.replaceAll(name, gap);
  let result = "";
  let from = 0;
  for (let at = inLowerCase.indexOf(wanted); at >= 0; at = inLowerCase.indexOf(wanted, from)) {
    const isWhole = !/[\p{L}\p{N}]/u.test((text[at - 1] ?? "") + (text[at + wanted.length] ?? ""));
    result += text.slice(from, at) + (isWhole ? gap : text.slice(at, at + wanted.length));
    from = at + wanted.length;
  }
  return result + text.slice(from);
}

function withoutStatus(line: string): string {
  return line.replace(/^[245]\.\d{1,3}\.\d{1,3}\s+/, "");
}
