/** Events in words: a label and one line, the same in `postern trace` and on the pages. Pure. */
import { age } from "../age.ts";
import type { StoredEvent } from "./event.ts";

export interface EventText {
  /** At most 11 characters: `delivered`. */
  label: string;
  text: string;
}

type Facts = Record<string, unknown>;

/** Of an event that another version wrote, too: its name, and nothing it does not have. */
export function describeEvent(event: StoredEvent): EventText {
  const describe = texts[event.event];
  return describe === undefined ? { label: "event", text: event.event } : describe(event);
}

const texts: Partial<Record<string, (facts: Facts) => EventText>> = {
  "session.classified": (facts) => ({
    label: "classified",
    text: join(
      `${str(facts.client)} to ${str(facts.destination) || "the gateway"}`,
      `listener ${str(facts.listener)}`,
      str(facts.direction),
      str(facts.row) === "" ? "" : `row ${str(facts.row)}`,
      `handled by ${str(facts.handler)}`,
    ),
  }),
  "session.close": (facts) => ({
    label: "passed",
    text: join(
      `session with ${str(facts.server)} not inspected: ${str(facts.notInspected)}`,
      `${number(facts.octetsToServer)} octets sent`,
      `${number(facts.octetsToClient)} received`,
    ),
  }),
  "message.accepted": (facts) => ({
    label: "accepted",
    text: join(
      `from ${str(facts.client)} (${str(facts.helo)})${facts.user === undefined ? "" : `, user ${str(facts.user)}`}`,
      `${number(facts.size)} octets`,
      `row ${list(facts.rows)}`,
      facts.unheard === true ? "the client did not wait for the reply" : "",
    ),
  }),
  "message.refused": (facts) => ({
    label: "refused",
    text: join(
      `${str(facts.stage)}${facts.remote === undefined ? "" : ` by ${str(facts.remote)}`}: ${str(facts.reply)}${session(facts)}`,
      steps(facts),
      facts.from === undefined ? "" : `from ${path(facts.from)}`,
      facts.to === undefined ? "" : `to ${list(facts.to)}`,
      str(facts.command),
    ),
  }),
  "delivery.attempt": (facts) => ({
    label: `attempt ${number(facts.attempt)}`,
    text: join(
      str(facts.nextHop),
      `row ${str(facts.row)}`,
      facts.recipients === 1 ? "" : `${number(facts.recipients)} recipients`,
    ),
  }),
  "delivery.delivered": (facts) => ({
    label: "delivered",
    text: join(
      `${str(facts.to)} by ${str(facts.remote)}: ${str(facts.reply)}${session(facts)}`,
      steps(facts),
    ),
  }),
  "delivery.deferred": (facts) => ({
    label: "deferred",
    text: join(
      `${str(facts.to)} ${failure(facts)}`,
      steps(facts),
      facts.nextAttemptAt === undefined ? "" : `next attempt ${time(facts.nextAttemptAt)}`,
    ),
  }),
  "delivery.rejected": (facts) => ({ label: "rejected", text: `${str(facts.to)} ${failure(facts)}` }),
  "dsn.made": (facts) => ({
    label: "DSN made",
    text: join(
      `${str(facts.dsnId)} (${str(facts.kind)}) to ${str(facts.to)}`,
      `about ${list(facts.recipients)}`,
    ),
  }),
  "dsn.withheld": (facts) => ({
    label: "no DSN",
    text: `${str(facts.kind)}, to ${path(facts.to)} about ${list(facts.recipients)}: ${str(facts.reason)}`,
  }),
  "message.settled": (facts) => ({
    label: "settled",
    text: `after ${duration(facts.delayMs)}: nothing is left to do${facts.removed === true ? " (removed)" : ""}`,
  }),
  "message.dead": (facts) => ({
    label: "dead",
    text: join(facts.to === undefined ? "" : list(facts.to), `kept for operators: ${str(facts.reason)}`),
  }),
  "message.held": (facts) => ({
    label: "held",
    text: join(byWhom(facts), facts.until === undefined ? "" : `until ${str(facts.until)}`),
  }),
  "message.released": (facts) => ({ label: "released", text: byWhom(facts) }),
  "message.retried": (facts) => ({ label: "retried", text: byWhom(facts) }),
  "message.removed": (facts) => ({
    label: "removed",
    text: join(byWhom(facts), facts.notify === true ? "the sender gets a DSN" : ""),
  }),
  "message.requeued": (facts) => ({ label: "requeued", text: byWhom(facts) }),
  "message.rerouted": (facts) => ({ label: "rerouted", text: join(`via ${str(facts.via)}`, byWhom(facts)) }),
  "proxy.transaction": (facts) => {
    const { accepted, refused } = facts as {
      accepted?: { addresses?: unknown; count?: unknown };
      refused?: { recipients?: { address: string; reply: string }[] };
    };
    const turnedAway = (refused?.recipients ?? []).map(({ address, reply }) => `${address} (${reply})`);
    const to = Array.isArray(accepted?.addresses) ? accepted.addresses : [];
    return {
      label: "proxied",
      text: join(
        `${str(facts.client)} to ${str(facts.server)}: ${str(facts.result)}`,
        `from ${path(facts.reversePath)}`,
        to.length === 0 ? "" : `to ${list(to)}`,
        turnedAway.length === 0 ? "" : `refused ${list(turnedAway)}`,
        `${number(facts.octets)} octets`,
        facts.reply === undefined ? "no reply" : str(facts.reply),
      ),
    };
  },
  "admin.change": (facts) => ({
    label: "change",
    text: join(
      `${str(facts.action)} by ${str(facts.by)}`,
      `${number(facts.changed)} of ${number(facts.matched)}`,
    ),
  }),
  "admin.hold": (facts) => ({
    label: "hold",
    text: join(
      `${str(facts.hold)} ${byWhom(facts)}`,
      facts.until === undefined ? "" : `until ${str(facts.until)}`,
    ),
  }),
  "admin.unhold": (facts) => ({ label: "unhold", text: `${str(facts.hold)} ${byWhom(facts)}` }),
  "admin.export": (facts) => ({ label: "exported", text: byWhom(facts) }),
};

/** What the server said, or what kept us from it. */
function failure(facts: Facts): string {
  const { remote, reply, command } = facts;
  const what = reply === undefined ? `${str(facts.status)} ${str(facts.reason)}`.trim() : str(reply);
  if (remote === undefined) return `not delivered: ${what}${session(facts)}`;
  return `by ${str(remote)}${command === undefined ? "" : ` to ${str(command)}`}: ${what}${session(facts)}`;
}

/** In parentheses: TLS as it was wanted and as it became, and how long the attempt took. */
function session(facts: Facts): string {
  const { policy, protocol } = (facts.tls ?? {}) as Facts;
  const failed = facts.tlsFailure === undefined ? "" : `STARTTLS failed: ${str(facts.tlsFailure)}`;
  const text = join(
    facts.tls === undefined ? "" : str(protocol) || "no TLS",
    policy === undefined ? "" : `policy ${str(policy)}`,
    failed,
    facts.ms === undefined ? "" : `${number(facts.ms)} ms`,
  );
  return text === "" ? "" : ` (${text})`;
}

/** Of a transaction that the client waited for: `MAIL 250 2.1.0 Ok in 2 ms, final dot in 40 ms`. */
function steps(facts: Facts): string {
  const all = Array.isArray(facts.steps) ? (facts.steps as Facts[]) : [];
  return all
    .map(({ command, reply, ms }) => {
      const name = command === "DOT" ? "final dot" : str(command);
      return `${name}${reply === undefined ? "" : ` ${str(reply)}`} in ${number(ms)} ms`;
    })
    .join(", ");
}

function byWhom({ by, reason }: Facts): string {
  const why = str(reason);
  return `by ${str(by) || "an operator"}${why === "" ? "" : `: ${why}`}`;
}

const shown = 3;

function list(value: unknown): string {
  const entries = Array.isArray(value) ? value.map(str) : [str(value)];
  const more = entries.length > shown ? ` and ${entries.length - shown} more` : "";
  return `${entries.slice(0, shown).join(", ")}${more}`;
}

function path(value: unknown): string {
  return str(value) === "" ? "<>" : str(value);
}

function join(...parts: string[]): string {
  return parts.filter((part) => part !== "").join(", ");
}

function str(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function number(value: unknown): string {
  return typeof value === "number" ? String(value) : "?";
}

/** `17:20:01` of an ISO time; the day is in the timeline, or close to it. */
function time(value: unknown): string {
  return /T(\d\d:\d\d:\d\d)/.exec(str(value))?.[1] ?? str(value);
}

function duration(ms: unknown): string {
  if (typeof ms !== "number") return "?";
  return ms < 1_000 ? `${Math.round(ms)} ms` : age(ms);
}
