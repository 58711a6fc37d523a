/** What the outgoing proxy changes in a dialogue, when it is told to; by itself it changes nothing. Pure. */
import type { Command } from "../../../shared/smtp/command-line.ts";
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { replies } from "./proxy-replies.ts";

export interface ProxyRules {
  /** `outgoing.starttls`. */
  starttls: "pass" | "strip";
  /** `outgoing.require_auth`. What a STARTTLS that is passed hides cannot be held to it: strip it too. */
  requireAuth: boolean;
  /** XCLIENT and XFORWARD of Postfix. */
  xclient: "pass" | "refuse";
  /** `limits.clients.rate`: the sink is asked before each MAIL. What a STARTTLS that is passed hides is not counted. */
  limitsMail?: boolean;
}

/** What the server has said so far. */
export interface ServerFacts {
  /** A 235 has been seen. */
  isAuthenticated: boolean;
  /** CHUNKING stood in the last EHLO reply. */
  offersChunking: boolean;
  /** The client has sent its messages for now. */
  isOverRate: boolean;
}

/** Keywords that must not be seen in an EHLO reply. */
export function hiddenKeywords(rules: ProxyRules): ReadonlySet<string> {
  const keywords = new Set<string>();
  if (rules.starttls === "strip") keywords.add("STARTTLS");
  if (rules.xclient === "refuse") keywords.add("XCLIENT").add("XFORWARD");
  return keywords;
}

/** @returns the reply that we give in the server's place, the command never reaching it; `undefined`: let it pass */
export function refusal(
  command: Command,
  line: Buffer,
  rules: ProxyRules,
  facts: ServerFacts,
): WholeReply | undefined {
  if (rules.starttls === "strip" && command.kind === "starttls") return replies.startTlsStripped;
  if (rules.xclient === "refuse" && command.kind === "xclient") return replies.clientFactsRefused;
  if (rules.requireAuth && !facts.isAuthenticated) {
    if (!isAllowedBeforeAuth(command)) return replies.authRequired;
    // A server that ends lines at CR would see a second command where we see none.
    if (!isOneLine(line)) return replies.notOneLine;
  }
  if (command.kind === "mail" && facts.isOverRate) return replies.tooManyMessages;
  // A server without CHUNKING would take the chunk for commands, and these would pass unseen.
  const isEnforcing = rules.starttls === "strip" || rules.xclient === "refuse";
  if (isEnforcing && command.kind === "bdat" && !facts.offersChunking) return replies.chunkingNotOffered;
  return undefined;
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

function isOneLine(line: Buffer): boolean {
  let end = line.length;
  if (line[end - 1] === 0x0a) end--;
  if (line[end - 1] === 0x0d) end--;
  const carriageReturn = line.indexOf(0x0d);
  return (carriageReturn < 0 || carriageReturn >= end) && !line.includes(0);
}
