/** An ingress for tests, with its log kept and a spool that only counts drafts. The test closes it. */
import { type RunningIngress, startIngress } from "../../services/ingress/ingress.ts";

import type { Limiter } from "../../shared/limits/limiter.ts";
import type { OwnConnections } from "../../shared/limits/own-connections.ts";
import type { Endpoint } from "../../shared/net/endpoint.ts";
import type { Publisher } from "../../shared/queue/contract/queue.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import type { Metrics } from "../../shared/runtime/metrics.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import { type Spool, SpoolFull } from "../../shared/spool/spool.ts";
import { testConfig } from "./config.ts";
import { proxyV1 } from "./proxy-header.ts";
import { SmtpClient } from "./smtp-client.ts";

export type LogLine = Record<string, unknown> & { level: string };

export interface TestIngress extends RunningIngress {
  log: LogLine[];
  /** The log records with this event name so far. */
  events(name: string): LogLine[];
  /** Messages that were to be queued. */
  readonly drafts: number;
  port(listener?: string): number;
  /** Connects through the transparent listener as `client`, with `server` as the original destination. */
  connect(server: Endpoint, client?: Endpoint): Promise<SmtpClient>;
}

export const someClient: Endpoint = { address: "192.0.2.7", port: 40_000 };

/** Has one listener `transparent` that trusts PROXY headers from 127.0.0.1, unless others are given. */
export async function startTestIngress(
  given: Parameters<typeof testConfig>[0] = {},
  options: { metrics?: Metrics; tracing?: Tracing; limiter?: Limiter; ownConnections?: OwnConnections } = {},
): Promise<TestIngress> {
  const log: LogLine[] = [];
  let drafts = 0;
  const spool = {
    draft() {
      drafts++;
      throw new SpoolFull("nothing is queued in these tests");
    },
    async checkWritable() {},
    pressure: () => ({ freeBytes: Number.POSITIVE_INFINITY, latencyMs: 0 }),
  } as unknown as Spool;
  const publisher: Publisher = { publish() {}, backlog: 0, async close() {} };
  const ingress = await startIngress({
    config: testConfig({ listeners: [transparent()], ...given }),
    log: createLogger("ingress", { write: (line) => log.push(JSON.parse(line)) }),
    spool,
    publisher,
    ...options,
  });
  const port = (listener = "transparent") => {
    const found = ingress.addresses.find((bound) => bound.listener === listener);
    if (found === undefined) throw new Error(`no listener ${listener}`);
    return found.port;
  };
  return {
    ...ingress,
    log,
    events: (name) => log.filter((line) => line.event === name),
    get drafts() {
      return drafts;
    },
    port,
    async connect(server, client = someClient) {
      const connection = await SmtpClient.connect(port());
      connection.write(proxyV1(client, server));
      return connection;
    },
  };
}

export function transparent(given: object = {}) {
  return {
    name: "transparent",
    address: "127.0.0.1",
    port: 0,
    destination: "proxy" as const,
    trusted_proxies: ["127.0.0.1"],
    ...given,
  };
}
