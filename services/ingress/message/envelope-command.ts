/**
 * Parses MAIL and RCPT (RFC 5321 §4.1.1.2 and .3): their parameters, or the reply that refuses the command. What it
 * returns keeps no part of the command line alive. Pure.
 */
import { copyText } from "../../../shared/copy-text.ts";
import { isAscii, parsePath } from "../../../shared/mail/address.ts";
import type { Recipient } from "../../../shared/mail/envelope.ts";
import { parseNotify } from "../../../shared/mail/notify.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { decodeOrcpt, decodeXtext } from "../../../shared/smtp/xtext.ts";
import { replies } from "./session-replies.ts";

export interface MailCommand {
  kind: "mail";
  /** "" is the null reverse-path. */
  reversePath: string;
  /** RFC 1870 SIZE. */
  declaredOctets?: number;
  body?: "7BIT" | "8BITMIME";
  smtputf8?: boolean;
  requireTls?: boolean;
  ret?: "FULL" | "HDRS";
  envid?: string;
}

export interface RcptCommand {
  kind: "rcpt";
  recipient: Recipient;
  sourceRoute: boolean;
}

export interface RefusedCommand {
  kind: "refused";
  reply: Reply;
}

/** Clients put spaces where the grammar has none; RFC 5321 §4.1.1 asks for tolerance. */
const mailPrefix = /MAIL[ \t]+FROM:[ \t]*/iy;
const rcptPrefix = /RCPT[ \t]+TO:[ \t]*/iy;
/** RFC 3461 §4.4 and §4.2. */
const maxEnvid = 100;
const maxOrcpt = 500;
/** RFC 4954 §3: as much as AUTH= adds to the line. */
const maxAuth = 500;

/** What a session offers that MAIL may ask for. */
export interface MailOffer {
  /** 0: no limit. */
  maxMessageBytes: number;
  /** RFC 8689 §2: the session runs under TLS. */
  requireTls: boolean;
  /** RFC 4954 §5. */
  auth: boolean;
}

export function parseMail(line: string, offer: MailOffer): MailCommand | RefusedCommand {
  mailPrefix.lastIndex = 0;
  if (!mailPrefix.test(line)) return refused(replies.mailSyntax);
  const path = parsePath(line, mailPrefix.lastIndex);
  if (path.kind === "invalid" || path.kind === "unqualified") return refused(replies.badSender);
  const command: MailCommand = {
    kind: "mail",
    reversePath: path.kind === "null" ? "" : copyText(path.address),
  };
  const bad = eachParameter(line, path.end, (name, value) => mailParameter(command, name, value, offer));
  if (bad !== undefined) return refused(bad);
  if (path.kind === "mailbox" && !path.ascii && command.smtputf8 !== true) return refused(replies.utf8Needed);
  return command;
}

/**
 * A local part alone passes: routing knows which domain's `<postmaster>` is meant (RFC 5321 §4.5.1), and refuses others.
 * @param smtputf8  whether the transaction is one of SMTPUTF8
 */
export function parseRcpt(line: string, smtputf8: boolean): RcptCommand | RefusedCommand {
  rcptPrefix.lastIndex = 0;
  if (!rcptPrefix.test(line)) return refused(replies.rcptSyntax);
  const path = parsePath(line, rcptPrefix.lastIndex);
  if (path.kind === "invalid" || path.kind === "null") return refused(replies.badRecipient);
  const recipient: Recipient = { address: copyText(path.kind === "mailbox" ? path.address : path.localPart) };
  const bad = eachParameter(line, path.end, (name, value) => rcptParameter(recipient, name, value, smtputf8));
  if (bad !== undefined) return refused(bad);
  if (path.kind === "mailbox" && !path.ascii && !smtputf8) return refused(replies.utf8Needed);
  return { kind: "rcpt", recipient, sourceRoute: path.kind === "mailbox" && path.sourceRoute };
}

function mailParameter(
  command: MailCommand,
  name: string,
  value: string | undefined,
  { maxMessageBytes, requireTls, auth }: MailOffer,
): Reply | undefined {
  switch (name) {
    case "SIZE":
      if (value === undefined || !/^\d{1,20}$/.test(value)) return replies.badParameter;
      command.declaredOctets = Number(value);
      return maxMessageBytes > 0 && command.declaredOctets > maxMessageBytes ? replies.tooLarge : undefined;
    case "BODY": {
      const body = value?.toUpperCase();
      if (body !== "7BIT" && body !== "8BITMIME") return replies.badParameter;
      command.body = body;
      return undefined;
    }
    case "SMTPUTF8":
      if (value !== undefined) return replies.badParameter;
      command.smtputf8 = true;
      return undefined;
    case "REQUIRETLS":
      if (!requireTls) return replies.unknownParameter;
      if (value !== undefined) return replies.badParameter;
      command.requireTls = true;
      return undefined;
    case "RET": {
      const ret = value?.toUpperCase();
      if (ret !== "FULL" && ret !== "HDRS") return replies.badParameter;
      command.ret = ret;
      return undefined;
    }
    case "ENVID": {
      const envid = value === undefined || value.length > maxEnvid ? undefined : decodeXtext(value);
      if (envid === undefined) return replies.badParameter;
      command.envid = copyText(envid);
      return undefined;
    }
    case "AUTH":
      if (!auth) return replies.unknownParameter;
      // Who has submitted it first is taken for nobody's word: as <> (RFC 4954 §5).
      return value !== undefined && isXtextMailbox(value) ? undefined : replies.badParameter;
    default:
      return replies.unknownParameter;
  }
}

function isXtextMailbox(value: string): boolean {
  return value === "<>" || (value !== "" && value.length <= maxAuth && decodeXtext(value) !== undefined);
}

function rcptParameter(
  recipient: Recipient,
  name: string,
  value: string | undefined,
  smtputf8: boolean,
): Reply | undefined {
  switch (name) {
    case "NOTIFY": {
      const events = value === undefined ? undefined : parseNotify(value);
      if (events === undefined) return replies.badParameter;
      recipient.notify = events;
      return undefined;
    }
    case "ORCPT": {
      // RFC 6533 §3: the form with UTF-8 in it only where SMTPUTF8 was asked for.
      if (value !== undefined && !smtputf8 && !isAscii(value)) return replies.utf8Needed;
      const orcpt = value === undefined || value.length > maxOrcpt ? undefined : decodeOrcpt(value);
      if (orcpt === undefined) return replies.badParameter;
      recipient.orcpt = copyText(orcpt);
      return undefined;
    }
    default:
      return replies.unknownParameter;
  }
}

/**
 * Calls `read` with each esmtp-param from `at` on, its name in upper case.
 * @returns the reply that refuses the first one that is wrong
 */
function eachParameter(
  line: string,
  at: number,
  read: (name: string, value: string | undefined) => Reply | undefined,
): Reply | undefined {
  if (at === line.length) return undefined;
  if (line[at] !== " " && line[at] !== "\t") return replies.badParameter;
  const seen: string[] = [];
  for (const parameter of line.slice(at).split(/[ \t]+/)) {
    if (parameter === "") continue;
    const equals = parameter.indexOf("=");
    const name = (equals < 0 ? parameter : parameter.slice(0, equals)).toUpperCase();
    // RFC 5321 §4.1.2 esmtp-keyword.
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(name)) return replies.badParameter;
    if (seen.includes(name)) return replies.duplicateParameter;
    seen.push(name);
    const bad = read(name, equals < 0 ? undefined : parameter.slice(equals + 1));
    if (bad !== undefined) return bad;
  }
  return undefined;
}

function refused(reply: Reply): RefusedCommand {
  return { kind: "refused", reply };
}
