/**
 * Whether connections can be made from a client's address (`hide`): this process needs the capability, and this machine
 * the routes that bring the replies back. Reads /proc; owns nothing.
 */
import { existsSync, readFileSync } from "node:fs";
import net from "node:net";
import { isLoopback } from "../../net/network.ts";
import type { Logger } from "../../runtime/log.ts";
import { whyNotTransparent } from "../../runtime/socket.ts";

/** `postern intercept up` may run after the services start: a missing route is looked up again soon, an existing one seldom. */
const missingForMs = 1_000;
const presentForMs = 30_000;

type Family = 4 | 6;

/** The questions to the system; tests replace the answers. */
export interface TransparentSourceProbes {
  whyNotTransparent(): string | undefined;
  hasReturnRoute(family: Family): boolean;
  /** Monotonic milliseconds. */
  now(): number;
}

/**
 * Whether there is a route, in a table for marked packets, that makes all addresses local, as `postern intercept up` and
 * every other set-up of tproxy create it. Replies to an address that is not ours arrive here only by such a route.
 */
function hasReturnRoute(family: Family): boolean {
  // fib_trie lists every table, ipv6_route too; RTF_LOCAL is 0x80000000.
  const [file, route] =
    family === 4
      ? (["/proc/net/fib_trie", /^\s+\/0 host LOCAL$/m] as const)
      : (["/proc/net/ipv6_route", /^0{32} 00 .* [89a-f][0-9a-f]{7}\s+lo$/m] as const);
  return existsSync(file) && route.test(readFileSync(file, "utf8"));
}

/** @returns undefined when `source` can be used now, else one sentence that says why not */
export function whyNotHidden(source: string): string | undefined {
  const family = net.isIPv6(source) ? 6 : 4;
  return whyNotTransparent() ?? (hasReturnRoute(family) ? undefined : noReturnRoute(family));
}

function noReturnRoute(family: Family): string {
  return `replies to a client's IPv${family} address do not come back to this machine: postern intercept is not up here`;
}

/**
 * Checks, for each session, whether it can be made from its client's address.
 * @param setting  begins the log line: `protected[].hide: …`
 * @param log      gets one line for each obstacle
 * @returns whether a source address can be used
 */
export function createTransparentSource(
  setting: string,
  log: Pick<Logger, "warn">,
  probes: TransparentSourceProbes = { whyNotTransparent, hasReturnRoute, now: () => performance.now() },
): (source: string) => boolean {
  const logged = new Set<string>();
  const warnOnce = (obstacle: string) => {
    if (logged.has(obstacle)) return;
    logged.add(obstacle);
    log.warn(`${setting}: servers see an address of this machine, not the client's: ${obstacle}`);
  };
  // A process without the capability never gets it later.
  const obstacle = probes.whyNotTransparent();
  if (obstacle !== undefined) {
    warnOnce(obstacle);
    return () => false;
  }
  const known: Record<Family, { isThere: boolean; untilMs: number }> = {
    4: { isThere: false, untilMs: 0 },
    6: { isThere: false, untilMs: 0 },
  };
  return (source) => {
    if (isLoopback(source)) return false;
    const family = net.isIPv6(source) ? 6 : 4;
    const route = known[family];
    const nowMs = probes.now();
    if (nowMs >= route.untilMs) {
      route.isThere = probes.hasReturnRoute(family);
      route.untilMs = nowMs + (route.isThere ? presentForMs : missingForMs);
    }
    if (!route.isThere) warnOnce(noReturnRoute(family));
    return route.isThere;
  };
}
