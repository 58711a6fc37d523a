/** The SMTP client side of the delivery service, put together. It owns every connection to a server; close() ends them. */
import tls from "node:tls";
import type { Config } from "../config/schema.ts";
import type { MessageMeta } from "../mail/message.ts";
import { Attempt } from "./attempt.ts";
import type { Connection } from "./connection.ts";
import { destinationLimits, destinationName } from "./destination.ts";
import { createResolver, type Resolver } from "./dns/resolver.ts";
import { HostsFile, nameServers } from "./dns/system.ts";
import { Pool } from "./pool.ts";
import { createLocalSlots, type Slots } from "./slots.ts";
import { smtpPort } from "./targets.ts";
import type { Transport } from "./transport.ts";

export interface TransportOptions {
  /** Absent: over `config.dns`. */
  resolver?: Resolver;
  /** Absent: limits hold for this process alone. */
  slots?: Slots;
  /** Epoch milliseconds. */
  now?: () => number;
  /** 0..1 */
  random?: () => number;
  /** Where the hosts of `mx` listen; for tests. */
  mxPort?: number;
  /** Certificate authorities to believe besides the system's, PEM; for tests. */
  extraCa?: string[];
  /** The address that a hidden delivery comes from; absent: the gateway's own. */
  transparentSourceOf?: (message: MessageMeta) => string | undefined;
  hostsFile?: HostsFile;
}

/** @throws Error when `dns.servers` names something that is no address */
export function createTransport(config: Config, options: TransportOptions = {}): Transport {
  const now = options.now ?? Date.now;
  const slots = options.slots ?? createLocalSlots(now);
  const pool = new Pool({ slots, quitTimeoutMs: config.timeouts.quit, now });
  let secureContext: tls.SecureContext | undefined;
  const makings = {
    pool,
    slots,
    limitsOf: destinationLimits(config.limits.destinations),
    sourceAddresses: config.delivery.source_addresses,
    transparentSourceOf: options.transparentSourceOf ?? (() => undefined),
    timeouts: config.timeouts,
    quit: (connection: Connection) => void pool.quit(connection),
    // Made once: reading the authorities takes longer than a handshake.
    secureContext: () => {
      secureContext ??= tls.createSecureContext({ ca: authorities(options.extraCa) });
      return secureContext;
    },
    resolver: options.resolver ?? createResolver({ servers: nameServers(config.dns?.servers) }),
    hostsFile: options.hostsFile ?? new HostsFile(),
    hostname: config.hostname,
    mxPort: options.mxPort ?? smtpPort,
    random: options.random ?? Math.random,
    now,
  };
  const running = new Set<Attempt>();

  return {
    async attempt(request) {
      const attempt = new Attempt(request, destinationName(request.nextHop), makings);
      running.add(attempt);
      try {
        return await attempt.run();
      } finally {
        running.delete(attempt);
      }
    },
    close: (graceMs) =>
      pool.close(graceMs, () => {
        for (const attempt of running) attempt.stop();
      }),
  };
}

/** What Node brings, and what the operator has added to the system (update-ca-certificates). */
function authorities(extra: string[] = []): string[] {
  return [...new Set([...tls.getCACertificates("default"), ...tls.getCACertificates("system"), ...extra])];
}
