/** What the outgoing proxy changes in a dialogue where the configuration asks for it; else it changes nothing. Pure. */
import type { Command } from "../../../shared/smtp/command-line.ts";
import { keywordOf, type WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { replies } from "./proxy-replies.ts";
import { type Offers, refusalOfUnclear } from "./strict-lines.ts";

export interface ProxyRules {
  /** `outgoing.starttls`. */
  starttls: "pass" | "strip";
  /** `outgoing.require_auth`. It cannot be enforced behind a STARTTLS that is passed: strip that too. */
  requireAuth: boolean;
  /** XCLIENT and XFORWARD of Postfix. */
  xclient: "pass" | "refuse";
  /** `limits.clients.rate`: the sink is asked before each MAIL. Mail behind a STARTTLS that is passed is not counted. */
  limitsMail?: boolean;
}

/** What the server's replies have shown so far. */
export interface ServerFacts extends Offers {
  /** A 235 has been seen. */
  isAuthenticated: boolean;
}

/**
 * Whether a policy is in force, whichever: then nothing passes whose meaning to the server is unknown. Only a STARTTLS
 * that the configuration passes ends that.
 */
export function isEnforcing({ starttls, requireAuth, xclient, limitsMail }: ProxyRules): boolean {
  return starttls === "strip" || requireAuth || xclient === "refuse" || limitsMail === true;
}

/** Keywords that the client must not see in an EHLO reply. */
export function hiddenKeywords(rules: ProxyRules): ReadonlySet<string> {
  const keywords = new Set<string>();
  // Exchange has STARTTLS under another name too (MS-SMTPEXT).
  if (rules.starttls === "strip") keywords.add("STARTTLS").add("X-ANONYMOUSTLS");
  if (rules.xclient === "refuse") keywords.add("XCLIENT").add("XFORWARD");
  return keywords;
}

const DASH = 0x2d;
const SPACE = 0x20;

/**
 * Takes extensions out of an EHLO reply, exactly their lines and nothing else.
 * @param reply     a whole EHLO reply as the server sent it
 * @param keywords  in upper case
 * @returns the reply itself when it offers none of them
 */
export function hideExtensions(reply: Buffer, keywords: ReadonlySet<string>): Buffer {
  const lines: Buffer[] = [];
  let isChanged = false;
  for (let at = 0; at < reply.length; ) {
    const lineFeed = reply.indexOf(0x0a, at);
    const end = lineFeed < 0 ? reply.length : lineFeed + 1;
    const line = reply.subarray(at, end);
    // The first line is the server's greeting, whatever it says (RFC 5321 §4.1.1.1).
    if (at > 0 && keywords.has(keywordOf(line.toString("latin1")))) isChanged = true;
    else lines.push(line);
    at = end;
  }
  if (!isChanged) return reply;
  const shown = Buffer.concat(lines);
  // RFC 5321 §4.2.1: the last line has a space behind its code, and a hidden line may have been the last.
  const last = shown.length - (lines.at(-1)?.length ?? 0);
  if (shown[last + 3] === DASH) shown[last + 3] = SPACE;
  return shown;
}

/**
 * @param line     the command's line, as far as it was read
 * @param isWhole  it has ended
 * @returns the reply that we give in the server's place, while the command never reaches it; `undefined`: it passes
 */
export function refusal(
  command: Command,
  line: Buffer,
  isWhole: boolean,
  rules: ProxyRules,
  facts: ServerFacts,
): WholeReply | undefined {
  if (rules.starttls === "strip" && command.kind === "starttls") return replies.startTlsStripped;
  if (rules.xclient === "refuse" && command.kind === "xclient") return replies.notAvailable;
  if (rules.requireAuth && !facts.isAuthenticated && !isAllowedBeforeAuth(command))
    return replies.authRequired;
  return isEnforcing(rules) ? refusalOfUnclear(command, line, isWhole, facts) : undefined;
}

/** RFC 4954 §6: 530 answers every command other than AUTH, EHLO, HELO, NOOP, RSET and QUIT; STARTTLS by RFC 3207 §4. */
function isAllowedBeforeAuth(command: Command): boolean {
  switch (command.kind) {
    case "hello":
    case "auth":
    case "starttls":
    case "rset":
    case "quit":
    case "xclient":
      return true;
    case "plain":
      return command.verb === "NOOP" || command.verb === "HELP";
    default:
      return false;
  }
}
