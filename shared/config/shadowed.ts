/** Entries that can never match, in lists of which the first match wins: an earlier entry always does. Pure. */
import { canonicalDomain } from "../mail/domain.ts";
import { literalAddress, type Network } from "../net/network.ts";
import type { Finding, Path } from "./config-error.ts";
import type { Config } from "./schema.ts";

/** Each entry is compared with those before it: of a list with a hundred thousand from a file, the first are enough. */
const maxCompared = 1_000;

export function findShadowed({ limits, delivery, relay, outgoing }: Config): Finding[] {
  return [
    ...limits.destinations
      .map(({ match }) => readDestination(match))
      .flatMap(shadowedBy(["limits", "destinations"], coversDestination, describeLimit)),
    ...delivery.tls
      .map(({ match }) => readDestination(match))
      .flatMap(shadowedBy(["delivery", "tls"], coversDestination)),
    ...relay.routes
      .slice(0, maxCompared)
      .map(({ to = "*", from = "*" }) => ({ to: readAddress(to), from: readAddress(from) }))
      .flatMap(
        shadowedBy(["relay", "routes"], (a, b) => coversAddress(a.to, b.to) && coversAddress(a.from, b.from)),
      ),
    ...outgoing.exceptions.flatMap(
      shadowedBy(
        ["outgoing", "exceptions"],
        (a, b) => coversNetworks(a.clients, b.clients) && coversNetworks(a.servers, b.servers),
      ),
    ),
  ];
}

const neverMatches = "can never match, since an earlier entry always does";

/** Limits of hosts are looked up by name: what `*` takes is limited as a host of that name all the same. */
function describeLimit(earlier: Domain): string {
  return earlier.kind === "any"
    ? "limits no destination, since an earlier entry always matches, but only a host of that name"
    : neverMatches;
}

/** For flatMap(): reports an entry that an earlier one covers. */
function shadowedBy<T>(
  path: Path,
  covers: (earlier: T, later: T) => boolean,
  describe: (earlier: T) => string = () => neverMatches,
): (later: T, index: number, all: readonly T[]) => Finding[] {
  return (later, index, all) => {
    const first = all.findIndex((earlier, at) => at < index && covers(earlier, later));
    const earlier = all[first];
    if (earlier === undefined) return [];
    return [{ path: [...path, index], message: describe(earlier), other: [...path, first] }];
  };
}

type Domain =
  | { kind: "any" }
  /** A domain alone, an address, or all domains below. */
  | { kind: "one" | "below"; domain: string };

function readDestination(text: string): Domain {
  if (text === "*") return { kind: "any" };
  const isBelow = text.startsWith("*.");
  const domain = canonicalDomain(isBelow ? text.slice(2) : text);
  return isBelow ? { kind: "below", domain } : { kind: "one", domain: literalAddress(domain) ?? domain };
}

function coversDestination(a: Domain, b: Domain): boolean {
  if (a.kind === "any" || b.kind === "any") return a.kind === "any";
  if (a.kind === "one") return b.kind === "one" && a.domain === b.domain;
  return b.domain.endsWith(`.${a.domain}`) || (b.kind === "below" && a.domain === b.domain);
}

type Address =
  | { kind: "any" | "null" }
  /** @property localPart  `*` is any */
  | { kind: "mailbox"; localPart: string; domain: Domain };

function readAddress(text: string): Address {
  if (text === "*") return { kind: "any" };
  if (text === "<>") return { kind: "null" };
  const at = text.lastIndexOf("@");
  const localPart = text.slice(0, at).toLowerCase();
  return { kind: "mailbox", localPart, domain: readDestination(text.slice(at + 1)) };
}

function coversAddress(a: Address, b: Address): boolean {
  if (a.kind === "any") return true;
  if (a.kind !== "mailbox" || b.kind !== "mailbox") return a.kind === b.kind;
  return (a.localPart === "*" || a.localPart === b.localPart) && coversDestination(a.domain, b.domain);
}

/** @param a  absent: all addresses */
function coversNetworks(a: readonly Network[] | undefined, b: readonly Network[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === undefined;
  if (a.length > maxCompared || b.length > maxCompared) return false;
  return b.every((inner) => a.some((outer) => outer.covers(inner)));
}
