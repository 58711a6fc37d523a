/** The routes of `relay`: the next hops of mail for unprotected recipients. Pure. */
import type { Config } from "../config/schema.ts";

import { parseVia } from "../config/values.ts";
import { localPartOf } from "../mail/address.ts";
import { unreachable } from "../unreachable.ts";
import type { Mailbox } from "./mailbox.ts";
import type { NextHop } from "./next-hop.ts";
import { type AddressPattern, localPartKey, matchesAddress, parseAddressPattern } from "./patterns.ts";

/** One next hop for all recipients, or the MX of each recipient's domain. */
type CompiledVia = NextHop | { kind: "own-mx" };

interface CompiledRoute {
  index: number;
  to: AddressPattern;
  from: AddressPattern;
  via: CompiledVia;
  setting: string;
}

export interface RelayRoute {
  nextHop: NextHop;
  setting: string;
}

export interface RelayRoutes {
  /** @param sender  `null` is the null reverse-path */
  find(sender: Mailbox | null, recipient: Mailbox): RelayRoute;
  /** By `relay.backup`; `undefined` when there is none. */
  findBackup(recipient: Mailbox): RelayRoute | undefined;
  /** By what `via` of a route may say; `undefined` when that names nothing. */
  findVia(via: string, recipient: Mailbox): NextHop | undefined;
}

export function compileRelayRoutes(relay: Config["relay"]): RelayRoutes {
  const index = new RouteIndex();
  for (const [position, { to = "*", from = "*", via }] of relay.routes.entries()) {
    index.add({
      index: position,
      to: parseAddressPattern(to),
      from: parseAddressPattern(from),
      via: compileVia(via, relay),
      setting: `relay.routes[${position}].via`,
    });
  }
  const backup = relay.backup === undefined ? undefined : compileVia(relay.backup.via, relay);

  return {
    find(sender, recipient) {
      const first = index.find(sender, recipient);
      if (first === undefined) return { nextHop: mxOf(recipient), setting: "relay.routes" };
      return { nextHop: follow(first.via, recipient), setting: first.setting };
    },
    findBackup(recipient) {
      if (backup === undefined) return undefined;
      return { nextHop: follow(backup, recipient), setting: "relay.backup.via" };
    },
    findVia(via, recipient) {
      const named = parseVia(via, (name) => Object.hasOwn(relay.hosts, name));
      return named && follow(compileVia(via, relay), recipient);
    },
  };
}

/** Routes by the domain that they are for; only those for everybody are tried one by one. */
class RouteIndex {
  /** By the domain of `to`, or else of `from`: `example.com`, or `*.example.com`. In the order of the configuration. */
  readonly #to = new Map<string, CompiledRoute[]>();
  readonly #from = new Map<string, CompiledRoute[]>();
  readonly #general: CompiledRoute[] = [];

  add(route: CompiledRoute): void {
    const { to, from } = route;
    if (to.kind === "mailbox") addTo(this.#to, keyOf(to), route);
    else if (from.kind === "mailbox") addTo(this.#from, keyOf(from), route);
    else this.#general.push(route);
  }

  /** The first route that matches. */
  find(sender: Mailbox | null, recipient: Mailbox): CompiledRoute | undefined {
    let first: CompiledRoute | undefined;
    const look = (routes: readonly CompiledRoute[] | undefined) => {
      const found = routes?.find(
        (route) => matchesAddress(route.to, recipient) && matchesAddress(route.from, sender),
      );
      if (found !== undefined && (first === undefined || found.index < first.index)) first = found;
    };
    for (const key of this.#to.size === 0 ? [] : keysOf(recipient)) look(this.#to.get(key));
    for (const key of this.#from.size === 0 || sender === null ? [] : keysOf(sender))
      look(this.#from.get(key));
    look(this.#general);
    return first;
  }
}

function addTo(index: Map<string, CompiledRoute[]>, key: string, route: CompiledRoute): void {
  const routes = index.get(key);
  if (routes === undefined) index.set(key, [route]);
  else routes.push(route);
}

/** Mailboxes of one domain may be many too. */
function keyOf({ localPart, domain, below }: AddressPattern & { kind: "mailbox" }): string {
  if (below) return `*.${domain}`;
  return localPart === undefined ? domain : `${localPart}@${domain}`;
}

/** The keys under which patterns that match the mailbox stand. */
function keysOf({ address, domain }: Mailbox): string[] {
  const keys = [`${localPartKey(localPartOf(address))}@${domain}`, domain];
  for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".", dot + 1))
    keys.push(`*${domain.slice(dot)}`);
  return keys;
}

function follow(via: CompiledVia, recipient: Mailbox): NextHop {
  return via.kind === "own-mx" ? mxOf(recipient) : via;
}

function mxOf(recipient: Mailbox): NextHop {
  return { kind: "mx", domain: recipient.domain };
}

/** @throws Error when `via` names nothing, which a checked configuration never contains */
function compileVia(text: string, relay: Config["relay"]): CompiledVia {
  const via = parseVia(text, (name) => Object.hasOwn(relay.hosts, name));
  if (via === undefined) throw new Error(`via: ${text} names nothing`);
  switch (via.kind) {
    case "mx":
      return { kind: "own-mx" };
    case "host":
      return via;
    case "relay": {
      const host = relay.hosts[via.name];
      if (host === undefined) throw new Error(`relay.hosts has no ${via.name}`);
      const { auth, ...rest } = host;
      return { kind: "relay", relay: { name: via.name, ...rest, ...(auth === undefined ? {} : { auth }) } };
    }
    default:
      return unreachable(via);
  }
}
