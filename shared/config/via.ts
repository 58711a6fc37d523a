/** What a `via` of the configuration names. */

import type { HostPort } from "../net/endpoint.ts";
import { parseHostPort } from "../net/endpoint.ts";

export type Via =
  | { kind: "mx" }
  /** An entry of `relay.hosts`. */
  | { kind: "relay"; name: string }
  | { kind: "host"; host: HostPort };

/**
 * A name of `relay.hosts` wins over everything but `mx`, which no relay host may be called.
 * @returns `undefined` when it names nothing: a host needs its port
 */
export function parseVia(text: string, isRelayHost: (name: string) => boolean): Via | undefined {
  if (text === "mx") return { kind: "mx" };
  if (isRelayHost(text)) return { kind: "relay", name: text };
  const host = parseHostPort(text);
  return host === undefined ? undefined : { kind: "host", host };
}
