/**
 * Whether connections may leave from here with a client's address (`hide`): this process must be allowed to take it, and
 * this machine must be one that the replies come back to. Reads /proc; owns nothing.
 */
import { existsSync, readFileSync } from "node:fs";
import net from "node:net";
import { isLoopback } from "../../net/network.ts";
import type { Logger } from "../../runtime/log.ts";
import { whyNotTransparent } from "../../runtime/socket.ts";

/** `postern intercept up` may come after the services; a missing route is looked for again soon, a present one seldom. */
const missingForMs = 1_000;
const presentForMs = 30_000;

type Family = 4 | 6;

/** What is asked of the system; tests answer in its place. */
export interface TransparentSourceProbes {
  whyNotTransparent(): string | undefined;
  hasReturnRoute(family: Family): boolean;
  /** Monotonic milliseconds. */
  now(): number;
}

/**
 * Routes that make all addresses this host's own, as `postern intercept up` and every other set-up of tproxy has them,
 * in a table for marked packets: replies to an address that is not ours end here only by such a route.
 */
function hasReturnRoute(family: Family): boolean {
  // fib_trie lists every table, ipv6_route too; RTF_LOCAL is 0x80000000.
  const [file, route] =
    family === 4
      ? (["/proc/net/fib_trie", /^\s+\/0 host LOCAL$/m] as const)
      : (["/proc/net/ipv6_route", /^0{32} 00 .* [89a-f][0-9a-f]{7}\s+lo$/m] as const);
  return existsSync(file) && route.test(readFileSync(file, "utf8"));
}

/** @returns undefined when it can be done now, else one sentence that says why not */
export function whyNotHidden(source: string): string | undefined {
  const family = net.isIPv6(source) ? 6 : 4;
  return whyNotTransparent() ?? (hasReturnRoute(family) ? undefined : noReturnRoute(family));
}

function noReturnRoute(family: Family): string {
  return `replies to a client's IPv${family} address do not come back to this machine: postern intercept is not up here`;
}

/**
 * Asked for each session that should leave with its client's address.
 * @param what   begins the line of the log: `protected[].hide: …`
 * @param log    told once of each thing that stands in the way
 * @returns whether it can
 */
export function createTransparentSource(
  what: string,
  log: Pick<Logger, "warn">,
  probes: TransparentSourceProbes = { whyNotTransparent, hasReturnRoute, now: () => performance.now() },
): (source: string) => boolean {
  const told = new Set<string>();
  const tell = (obstacle: string) => {
    if (told.has(obstacle)) return;
    told.add(obstacle);
    log.warn(`${what}: servers see an address of this machine, not the client's: ${obstacle}`);
  };
  // Capabilities do not come back to a process that has none.
  const obstacle = probes.whyNotTransparent();
  if (obstacle !== undefined) {
    tell(obstacle);
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
    if (!route.isThere) tell(noReturnRoute(family));
    return route.isThere;
  };
}
