/** The part of a notification that people read: which recipient, what the other server said, what to do now. Pure. */
import { rfc5322Date } from "../../shared/mail/date.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { adviceFor } from "./advice.ts";
import { type Dsn, type DsnRecipient, isExpiry, type RecipientReport } from "./dsn.ts";
import { oneLine, readable } from "./mime.ts";
import { fieldValue } from "./original.ts";

const width = 72;
/** More addresses than anybody reads, in all paragraphs together; all of them are in the report that follows. */
const maxListed = 50;
/** And more different reasons: a message to a thousand must not come back as a book. */
const maxGroups = 20;
const maxSubject = 100;
/** Characters. A server whose reply fills pages says the important thing first. */
const maxQuote = 2000;
/** Characters of all quotes together: with many reasons each quote is shorter. */
const allQuotes = 20_000;

/** The notification's Subject, not yet encoded: what happened, to whom, and the original's own subject. */
export function dsnSubject(dsn: Dsn): string {
  const [first] = dsn.recipients;
  const to =
    dsn.recipients.length === 1 && first ? oneLine(first.address) : `${dsn.recipients.length} recipients`;
  const subject = clip(readable(fieldValue(dsn.original.header, "subject") ?? ""), maxSubject);
  return subject === "" ? headline(dsn, to) : `${headline(dsn, to)}: ${subject}`;
}

function headline(dsn: Dsn, to: string): string {
  switch (dsn.kind) {
    case "failed":
      return `Not delivered to ${to}`;
    case "delayed":
      return `Delayed, still trying to deliver to ${to}`;
    case "relayed":
      return `Passed on to the mail server of ${to}`;
    case "delivered":
      return `Delivered to ${to}`;
    default:
      return unreachable(dsn.kind);
  }
}

/** The text, lines ending in CRLF. */
export function dsnText(dsn: Dsn): string {
  const groups = groupAlike(dsn.recipients);
  const shown = groups.slice(0, maxGroups);
  const limits: ParagraphLimits = {
    addresses: Math.ceil(maxListed / shown.length),
    quote: Math.min(maxQuote, Math.floor(allQuotes / shown.length)),
  };
  const paragraphs = shown.flatMap((group) => groupParagraphs(dsn, group, limits));
  const unlisted = groups.slice(maxGroups).flat().length;
  if (unlisted > 0) {
    paragraphs.push(
      wrap(
        `The same happened, for other reasons, with ${unlisted} more recipients. The attached report names each of them and its reason.`,
      ),
    );
  }
  return `${[...paragraphs, aboutTheMessage(dsn), signature(dsn)].join("\n\n").replaceAll("\n", "\r\n")}\r\n`;
}

/** How much of what others wrote one paragraph may hold. */
interface ParagraphLimits {
  addresses: number;
  /** Characters. */
  quote: number;
}

/** Recipients with the same report share a paragraph. */
function groupAlike(recipients: DsnRecipient[]): DsnRecipient[][] {
  const groups = new Map<string, DsnRecipient[]>();
  for (const recipient of recipients) {
    const { status, reason, reply, remote, possiblyDelivered, willRetryUntilMs } = recipient.report;
    const words = reply === undefined ? reason : `${reply.code} ${reply.enhanced} ${reply.lines.join("\n")}`;
    const key = `${status} ${remote?.host} ${possiblyDelivered} ${willRetryUntilMs} ${words.slice(0, maxQuote)}`;
    const group = groups.get(key);
    if (group) group.push(recipient);
    else groups.set(key, [recipient]);
  }
  return [...groups.values()];
}

function groupParagraphs(dsn: Dsn, group: DsnRecipient[], limits: ParagraphLimits): string[] {
  const [first] = group;
  if (first === undefined) return [];
  return [
    opening(dsn, group.length),
    addressList(group, limits.addresses),
    ...explanation(dsn, first.report, limits.quote),
  ];
}

function opening(dsn: Dsn, count: number): string {
  const recipients = count === 1 ? "this recipient" : `these ${count} recipients`;
  switch (dsn.kind) {
    case "failed":
      return wrap(`Your message could not be delivered to ${recipients}:`);
    case "delayed":
      return wrap(`Your message has not been delivered yet to ${recipients}:`);
    case "relayed":
      return wrap(`Your message is on its way to ${recipients}:`);
    case "delivered":
      return wrap(`Your message has been delivered to ${recipients}:`);
    default:
      return unreachable(dsn.kind);
  }
}

function addressList(group: DsnRecipient[], most: number): string {
  const lines = group.slice(0, most).map(({ address }) => `    ${oneLine(address)}`);
  if (group.length > most) {
    lines.push(`    and ${group.length - most} more, who are named in the attached report`);
  }
  return lines.join("\n");
}

function explanation(dsn: Dsn, report: RecipientReport, maxQuoted: number): string[] {
  switch (dsn.kind) {
    case "failed":
      return failure(dsn, report, maxQuoted);
    case "delayed":
      return delay(report, maxQuoted);
    case "relayed":
      return [
        wrap(
          `${serverOf(report)} accepted it. That server does not report what becomes of messages, so you will not be told when it arrives.`,
        ),
      ];
    case "delivered":
      return [
        wrap(`${serverOf(report)} accepted it:`),
        quote(report, maxQuoted),
        "There is nothing that you need to do.",
      ];
    default:
      return unreachable(dsn.kind);
  }
}

function failure(dsn: Dsn, report: RecipientReport, maxQuoted: number): string[] {
  const server = serverOf(report);
  const paragraphs: string[] = [];
  if (isExpiry(report)) {
    const tried = `This mail system has tried since ${rfc5322Date(dsn.original.receivedAtMs)} and has now given up.`;
    paragraphs.push(
      wrap(
        report.reply === undefined
          ? `${tried} This is what it ran into:`
          : `${tried} ${server} answered at the last attempt:`,
      ),
    );
  } else if (report.reply === undefined) {
    paragraphs.push("The reason is:");
  } else {
    paragraphs.push(wrap(`${server} refused it with these words:`));
  }
  paragraphs.push(quote(report, maxQuoted));
  paragraphs.push(
    wrap(
      report.possiblyDelivered === true
        ? "What you can do: Ask the recipient before you send it again. The connection broke when the whole message had been sent already: it may have arrived all the same."
        : `What you can do: ${adviceFor(report.status, report.reply !== undefined)}`,
    ),
  );
  return paragraphs;
}

function delay(report: RecipientReport, maxQuoted: number): string[] {
  const { willRetryUntilMs } = report;
  const until = willRetryUntilMs === undefined ? "" : ` until ${rfc5322Date(willRetryUntilMs)}`;
  return [
    wrap(
      `You do not need to do anything, and should not send it again: this mail system goes on trying${until}. Only if that fails will you hear from it again.`,
    ),
    wrap(
      report.reply === undefined
        ? "This is what it ran into at the last attempt:"
        : `${serverOf(report)} answered at the last attempt:`,
    ),
    quote(report, maxQuoted),
  ];
}

/** `The mail server mx.example.com (192.0.2.25)`, at the start of a sentence. */
function serverOf({ remote }: RecipientReport): string {
  if (remote === undefined) return "The receiving mail server";
  // Names and addresses are one word each.
  const [host, address] = [remote.host, remote.address].map((word) => oneLine(word).replaceAll(" ", ""));
  return host === address ? `The mail server ${address}` : `The mail server ${host} (${address})`;
}

/** The lines of the server's reply, else what we found out ourselves. */
function quote({ reply, reason }: RecipientReport, most: number): string {
  if (reply === undefined) return indent(clip(oneLine(reason), most));
  const start = reply.enhanced === undefined ? `${reply.code}` : `${reply.code} ${reply.enhanced}`;
  const [first = "", ...rest] = reply.lines;
  return indent(clip([`${start} ${oneLine(first)}`, ...rest.map(oneLine)].join("\n"), most));
}

function aboutTheMessage(dsn: Dsn): string {
  const { header } = dsn.original;
  const rows: [string, string | undefined][] = [
    ["Subject", fieldValue(header, "subject")],
    ["Sent", fieldValue(header, "date")],
    ["Message-ID", fieldValue(header, "message-id")],
  ];
  const lines = rows
    .filter((row): row is [string, string] => row[1] !== undefined && row[1].trim() !== "")
    .map(([name, value]) => `    ${`${name}:`.padEnd(12)} ${clip(readable(value), 2 * maxSubject)}`);
  lines.push(`    ${"Received:".padEnd(12)} ${rfc5322Date(dsn.original.receivedAtMs)} by ${dsn.hostname}`);
  const others =
    dsn.kind === "failed"
      ? "This is about the following message. Its other recipients, if any, are not affected:"
      : "This is about the following message:";
  return `${wrap(others)}\n\n${lines.join("\n")}`;
}

function signature(dsn: Dsn): string {
  return wrap(
    `This notice was written by the mail system at ${dsn.hostname}; nobody reads replies to it. If you need help, show it to your mail administrator: the attached report has the details, and the message's number here was ${dsn.original.id}.`,
  );
}

/** Lines of at most 72 characters where spaces allow it. */
function wrap(text: string, prefix = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && prefix.length + line.length + 1 + word.length > width) {
      lines.push(prefix + line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(prefix + line);
  return lines.join("\n");
}

function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => wrap(line, "    "))
    .join("\n");
}

function clip(text: string, max: number): string {
  const characters = Array.from(text);
  return characters.length > max ? `${characters.slice(0, max).join("")} ...` : text;
}
