/** The routes of `relay`: the next hops of mail for unprotected recipients. Pure. */
import type { Config } from "../config/schema.ts";

import { parseVia } from "../config/values.ts";
import { unreachable } from "../unreachable.ts";
import type { Mailbox } from "./mailbox.ts";
import type { NextHop } from "./next-hop.ts";
import { type AddressPattern, matchesAddress, parseAddressPattern } from "./patterns.ts";

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
}

export function compileRelayRoutes(relay: Config["relay"]): RelayRoutes {
  // Routes for one domain are found by domain; only the others are tried one by one.
  const byDomain = new Map<string, CompiledRoute[]>();
  const general: CompiledRoute[] = [];
  for (const [index, { to = "*", from = "*", via }] of relay.routes.entries()) {
    const route = {
      index,
      to: parseAddressPattern(to),
      from: parseAddressPattern(from),
      via: compileVia(via, relay),
      setting: `relay.routes[${index}].via`,
    };
    if (route.to.kind !== "mailbox" || route.to.below) general.push(route);
    else {
      const routes = byDomain.get(route.to.domain);
      if (routes === undefined) byDomain.set(route.to.domain, [route]);
      else routes.push(route);
    }
  }
  const backup = relay.backup === undefined ? undefined : compileVia(relay.backup.via, relay);

  return {
    find(sender, recipient) {
      const matches = (route: CompiledRoute) =>
        matchesAddress(route.to, recipient) && matchesAddress(route.from, sender);
      const own = byDomain.get(recipient.domain)?.find(matches);
      const other = general.find(matches);
      const first = own === undefined || (other !== undefined && other.index < own.index) ? other : own;
      if (first === undefined) return { nextHop: mxOf(recipient), setting: "relay.routes" };
      return { nextHop: follow(first.via, recipient), setting: first.setting };
    },
    findBackup(recipient) {
      if (backup === undefined) return undefined;
      return { nextHop: follow(backup, recipient), setting: "relay.backup.via" };
    },
  };
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
