/** Hold rules, and which delivery jobs they hold. Pure. */
import { z } from "zod";
import { domainOf } from "../../mail/address.ts";
import { canonicalDomain } from "../../mail/domain.ts";
import { DomainTable } from "../../routing/patterns.ts";
import { unreachable } from "../../unreachable.ts";
import { type DeliveryJob, deliveryJobId } from "../contract/contract.ts";
import { addressMatcher } from "./pattern.ts";

export const holdRuleSchema = z.object({
  /**
   * `message`: the id of a delivery job, or the queue id of a message. `destination`: a domain of recipients (`*.domain`
   * for all below it), or an alias of a next hop. `sender`: an address pattern, `<>` for the null sender. `all`: all mail.
   */
  kind: z.enum(["message", "destination", "sender", "all"]),
  value: z.string(),
  /** For people. */
  reason: z.string(),
  createdAtMs: z.number(),
  /** When the hold expires, in epoch milliseconds. Absent: it stays until someone removes it. */
  untilMs: z.number().optional(),
  /** Who made it: the name of a token. Absent in rules of version 0.1.0. */
  by: z.string().optional(),
});
export type HoldRule = z.infer<typeof holdRuleSchema>;

/** The id of a rule: there is one rule for each kind and value. */
export function holdRuleId(rule: Pick<HoldRule, "kind" | "value">): string {
  return `${rule.kind}:${rule.kind === "all" ? "" : normalise(rule)}`;
}

/** Filters write a domain as `*@example.com`. */
function normalise({ kind, value }: Pick<HoldRule, "kind" | "value">): string {
  if (kind === "message") return value;
  const wanted = value.trim().toLowerCase();
  return kind === "destination" && wanted.startsWith("*@") ? wanted.slice(2) : wanted;
}

/** @returns why the rule is invalid; `undefined` when it is valid */
export function errorInHold(rule: Pick<HoldRule, "kind" | "value">): string | undefined {
  const wanted = normalise(rule);
  if ((rule.kind === "all") !== (wanted === "")) return "goes with every kind but `all`";
  if (/\p{Cc}/u.test(wanted)) return "has control characters";
  if (rule.kind === "destination" && !/^(\*\.)?[^\s@*]+$/.test(wanted))
    return "is neither a domain, nor `*.domain`, nor a next hop";
  return undefined;
}

/** The parts of a delivery job that rules look at. */
export type Holdable = Pick<DeliveryJob, "id" | "part" | "from" | "to" | "route" | "aliases">;

/** Finds the rule that holds a job. Valid until one of the rules expires. */
export class HoldMatcher {
  /** Epoch milliseconds. */
  readonly validUntilMs: number;
  readonly #any: boolean;
  readonly #messages = new Map<string, HoldRule>();
  readonly #domains = new DomainTable<HoldRule>();
  readonly #nextHops = new Map<string, HoldRule>();
  readonly #senders: { matches: (address: string) => boolean; rule: HoldRule }[] = [];
  #all: HoldRule | undefined;

  constructor(rules: Iterable<HoldRule>, nowMs: number) {
    const current = [...rules].filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
    this.#any = current.length > 0;
    this.validUntilMs = Math.min(...current.map(({ untilMs }) => untilMs ?? Number.POSITIVE_INFINITY));
    for (const rule of current) this.#add(rule);
  }

  match(job: Holdable): HoldRule | undefined {
    if (!this.#any) return undefined;
    return (
      this.#all ??
      this.#messages.get(deliveryJobId(job.id, job.part)) ??
      this.#messages.get(job.id) ??
      this.#byDestination(job) ??
      this.#senders.find(({ matches }) => matches(job.from))?.rule
    );
  }

  #add(rule: HoldRule): void {
    switch (rule.kind) {
      case "all":
        this.#all = rule;
        return;
      case "message":
        this.#messages.set(rule.value, rule);
        return;
      case "destination":
        this.#domains.add(normalise(rule), rule);
        this.#nextHops.set(normalise(rule), rule);
        return;
      case "sender":
        this.#senders.push({ matches: addressMatcher(rule.value), rule });
        return;
      default:
        unreachable(rule.kind);
    }
  }

  #byDestination(job: Holdable): HoldRule | undefined {
    if (this.#nextHops.size === 0) return undefined;
    for (const address of job.to) {
      const rule = this.#domains.find(canonicalDomain(domainOf(address)));
      if (rule) return rule;
    }
    for (const alias of job.aliases ?? aliasesFromOlderLabel(job.route)) {
      const rule = this.#nextHops.get(alias);
      if (rule) return rule;
    }
    return undefined;
  }
}

/**
 * Jobs that version 0.1.0 made carry no aliases until their next attempt, only the label that operators are shown.
 * Remove this in the release after the next one.
 * @param label  `relay via mx example.org`, `relay via isp (smtp.isp.example:587)`, `to-protected via 192.0.2.1:25, …`
 */
export function aliasesFromOlderLabel(label: string): string[] {
  const hop = label.slice(label.indexOf(" via ") + " via ".length).toLowerCase();
  if (hop.startsWith("mx ")) return [hop.slice("mx ".length)];
  const [, relayName, relayHost] = /^(\S+) \((.*)\)$/.exec(hop) ?? [];
  const servers = (relayHost ?? hop).split(", ").flatMap((server) => {
    const host = server.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
    return [server, host];
  });
  return relayName === undefined ? servers : [relayName, ...servers];
}
