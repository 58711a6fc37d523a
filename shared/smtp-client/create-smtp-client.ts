/** Puts the SMTP client of delivery and inline delivery together. It owns every connection to a server; close() ends them. */
import path from "node:path";
import tls from "node:tls";
import type { Config } from "../config/schema.ts";
import type { PhaseCounts } from "../limits/connection-phases.ts";
import { deadDestinationPolicy } from "../limits/dead-destinations.ts";
import type { Limiter } from "../limits/limiter.ts";
import { createLocalLimiter } from "../limits/local-limiter.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { Commit } from "../runtime/live.ts";
import type { Logger } from "../runtime/log.ts";
import { createOwnAddresses } from "../runtime/own-addresses.ts";
import { Attempt, type AttemptDeps } from "./attempt.ts";
import { HostSlots } from "./connections/host-slots.ts";
import { Pool } from "./connections/pool.ts";
import { createResolver, type Resolver } from "./dns/resolver.ts";
import { HostsFile, nameServers } from "./dns/system.ts";
import { type InlineSmtpClient, openInline } from "./inline.ts";
import { type LoginClient, logIn } from "./log-in.ts";
import { smtpPort } from "./next-hops/delivery-addresses.ts";
import { destinationLimits, hostLimits, tlsLevels } from "./next-hops/destination.ts";
import { createOwnEndpoints } from "./next-hops/own-endpoints.ts";
import { type ProbeClient, probe } from "./probe.ts";
import type { SmtpConnection } from "./session/connection.ts";
import { createTransparentSource } from "./session/transparent-source.ts";
import type { AttemptRequest, AttemptResult, SmtpClient } from "./smtp-client.ts";
import { fetchPolicy } from "./tls/sts/fetch-policy.ts";
import { createStsPolicies } from "./tls/sts/policies.ts";
import { PolicyFiles } from "./tls/sts/policy-files.ts";

export interface SmtpClientOptions {
  /** Absent: over `config.dns`. */
  resolver?: Resolver;
  /** Absent: limits hold for this process alone. */
  limiter?: Limiter;
  /** Epoch milliseconds. */
  now?: () => number;
  /** 0..1 */
  random?: () => number;
  /** The gateway's own addresses; absent: those of the interfaces and of `own_addresses`. */
  ownAddresses?: () => ReadonlySet<string>;
  /** Where the hosts of `mx` listen; for tests. */
  mxPort?: number;
  /** Where MTA-STS policy hosts listen, and how long one may take; for tests. */
  policyHosts?: { port: number; timeoutMs?: number };
  /** Certificate authorities to trust besides the system's, PEM; for tests. */
  extraCa?: string[];
  /** The address that a hidden delivery comes from; absent: the gateway's own. */
  transparentSourceOf?: (message: MessageMeta) => string | undefined;
  hostsFile?: HostsFile;
}

const httpsPort = 443;
/** RFC 8461 §3.3 suggests a minute, which is long for mail that waits for it. */
const policyTimeoutMs = 15_000;

/** An SMTP client whose configuration can be replaced while it runs. */
export interface ConfiguredSmtpClient extends SmtpClient, InlineSmtpClient, LoginClient, ProbeClient {
  /** What is done with the connections to each destination now. */
  connections(): Map<string, PhaseCounts>;
  /**
   * Makes another configuration ready. From the commit on, new attempts follow it, over connections of their own; those
   * under way end as they began.
   * @throws Error when `dns.servers` names something that is no address
   */
  prepare(config: Config, transparentSourceOf?: SmtpClientOptions["transparentSourceOf"]): Commit;
}

/** @throws Error when `dns.servers` names something that is no address */
export function createSmtpClient(config: Config, options: SmtpClientOptions = {}): ConfiguredSmtpClient {
  const now = options.now ?? Date.now;
  const random = options.random ?? Math.random;
  const limiter =
    options.limiter ?? createLocalLimiter({ deadDestinations: deadDestinationPolicy(config), now, random });
  const pool = new Pool({
    limiter,
    quitTimeoutMs: () => current.config.timeouts.quit,
    now: options.now ?? (() => performance.now()),
    epochMs: now,
    random,
  });
  let context: tls.SecureContext | undefined;
  // Made once: reading the authorities takes longer than a handshake.
  const secureContext = () => {
    context ??= tls.createSecureContext({ ca: authorities(options.extraCa) });
    return context;
  };
  const hostsFile = options.hostsFile ?? new HostsFile();
  const policyServers = {
    secureContext,
    port: options.policyHosts?.port ?? httpsPort,
    timeoutMs: options.policyHosts?.timeoutMs ?? policyTimeoutMs,
  };
  const sts = createStsPolicies({
    txt: (...question) => current.deps.resolver.txt(...question),
    fetch: (domain, signal) =>
      fetchPolicy(domain, { ...policyServers, resolver: current.deps.resolver }, signal),
    files: new PolicyFiles(path.join(config.data, "mta-sts")),
    now,
  });

  function makeResolver(config: Config): Resolver {
    const { servers, trust_ad: trustAd = false } = config.dns ?? {};
    return options.resolver ?? createResolver({ servers: nameServers(servers), trustAd });
  }

  /** What the attempts of one configuration use. */
  function settingsOf(
    config: Config,
    settings: number,
    transparentSourceOf: SmtpClientOptions["transparentSourceOf"],
  ): { config: Config; deps: AttemptDeps } {
    const deps = {
      pool,
      settings,
      limiter,
      limitsOf: destinationLimits(config.limits.destinations),
      hostSlots: new HostSlots({ limiter, hostLimitOf: hostLimits(config.limits.destinations) }),
      sourceAddresses: config.delivery.source_addresses,
      transparentSourceOf: transparentSourceOf ?? (() => undefined),
      timeouts: config.timeouts,
      quit: (connection: SmtpConnection) => void pool.quit(connection),
      tlsLevelOf: tlsLevels(config.delivery.tls),
      secureContext,
      resolver: makeResolver(config),
      sts,
      published: { dane: config.delivery.dane, mtaSts: config.delivery.mta_sts },
      ownEndpoints: createOwnEndpoints(
        config,
        options.ownAddresses ?? createOwnAddresses(config.own_addresses).current,
      ),
      hostsFile,
      hostname: config.hostname,
      mxPort: options.mxPort ?? smtpPort,
      random,
      now,
    };
    return { config, deps };
  }

  let current = settingsOf(config, 0, options.transparentSourceOf);
  const running = new Set<Attempt>();
  const closing = new AbortController();

  async function run(request: AttemptRequest): Promise<AttemptResult> {
    const attempt = new Attempt(request, current.deps);
    running.add(attempt);
    try {
      return await attempt.run();
    } finally {
      running.delete(attempt);
    }
  }

  const stop = () => {
    for (const attempt of running) attempt.stop();
  };

  return {
    attempt: run,
    stop,
    connections: () => pool.phases(),
    openInline: (request) =>
      openInline(request, run, {
        stepMs: current.config.timeouts.inline,
        dotMs: current.config.timeouts.dot,
        now,
      }),
    logIn: (request) =>
      logIn({ ...request, signal: AbortSignal.any([request.signal, closing.signal]) }, current.deps),
    prepare(config, transparentSourceOf) {
      const isSame = clientSettings(config) === clientSettings(current.config);
      // Idle connections and cached DNS answers stay of use where nothing of this has changed.
      const next = isSame
        ? { config, deps: { ...current.deps, transparentSourceOf: transparentSourceOf ?? (() => undefined) } }
        : settingsOf(config, current.deps.settings + 1, transparentSourceOf);
      return () => {
        current = next;
      };
    },
    // A live look: what the cache knows may be what is wrong.
    probe: (request) =>
      probe(
        { ...request, signal: AbortSignal.any([request.signal, closing.signal]) },
        { ...current.deps, resolver: makeResolver(current.config) },
      ),
    async close(graceMs) {
      await pool.close(graceMs, () => {
        sts.close();
        closing.abort();
        stop();
      });
      sts.close();
    },
  };
}

/** What the client takes from the configuration, besides the next hops of its requests; as text, to compare. */
function clientSettings(config: Config): string {
  const { dns, delivery, hostname, timeouts, own_addresses, limits, listeners } = config;
  const own = listeners.map(({ address, port }) => ({ address, port }));
  const { destinations } = limits;
  return JSON.stringify({ dns, delivery, hostname, timeouts, own_addresses, destinations, own });
}

/** Node's authorities, and those that the operator has added to the system (update-ca-certificates). */
function authorities(extra: string[] = []): string[] {
  return [...new Set([...tls.getCACertificates("default"), ...tls.getCACertificates("system"), ...extra])];
}

/**
 * With `hide`, the protected server sees the client's own address. A process that cannot take it, since it does not run
 * on the gateway or has no CAP_NET_ADMIN, delivers from its own, and says so once.
 */
export function transparentSource(config: Config, log: Logger): (message: MessageMeta) => string | undefined {
  if (!config.protected.some(({ hide }) => hide)) return () => undefined;
  const canHide = createTransparentSource("protected[].hide", log);
  return ({ origin }) => {
    const client = origin?.connection.client.address;
    return client !== undefined && canHide(client) ? client : undefined;
  };
}
