/** Answers /health and /metrics of a service over HTTP. Owns the listening socket; close() ends it. */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { formatHostPort } from "../net/endpoint.ts";
import type { Metrics } from "./metrics.ts";
import { cannotListen } from "./start-failure.ts";
import { TimeoutError, withTimeout } from "./with-timeout.ts";

/** Whether a service can do its work, with a reason for each thing that is wrong. */
export interface Health {
  ready: boolean;
  /** One line each; empty when ready. */
  reasons: string[];
  /** What needs an operator and does not keep the service from its work, one line each. */
  warnings?: string[];
  /** Of a service with several workers: each of those that run. */
  workers?: (Health & { pid: number })[];
}

/** Ready when nothing is wrong. @param faults  what each check says; `undefined` when it found nothing */
export function healthOf(faults: readonly (string | undefined)[]): Health {
  const reasons = faults.filter((fault) => fault !== undefined);
  return { ready: reasons.length === 0, reasons };
}

export interface HealthServer {
  readonly port: number;
  /** Where others reach it, without a path: `http://127.0.0.1:12345`. */
  readonly url: string;
  close(): Promise<void>;
}

/** What the server asks for at each request to /metrics. */
export type MetricsPage = Pick<Metrics, "text" | "contentType">;

/** Which service answers: those of `postern up` share an address. */
export const serviceHeader = "x-postern-service";

/** A health check that takes longer counts as a failed one. */
const healthLimitMs = 5_000;

/**
 * `GET /health`: 200 or 503 with `{ live, ready, reasons, warnings, workers }`. `GET /metrics`: the metrics in the format of Prometheus.
 * @param name  of the service, which each answer has in its header field X-Postern-Service
 * @throws CannotStart when the address cannot be listened on
 */
export async function startHealthServer(
  where: { address: string; port: number },
  health: () => Health | Promise<Health>,
  metrics: MetricsPage,
  name?: string,
): Promise<HealthServer> {
  const server = http.createServer((request, response) => {
    void answer(request, health, metrics)
      .catch((error: Error): Answer => ({ status: 500, type: "text/plain", body: `${error.message}\n` }))
      .then(({ status, type, body }) => {
        response.writeHead(status, {
          "content-type": type,
          "cache-control": "no-store",
          ...(name === undefined ? {} : { [serviceHeader]: name }),
        });
        response.end(request.method === "HEAD" ? undefined : body);
      });
  });
  // Probes and scrapers send short requests: bounds that are tight for a browser are wide for them.
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  server.keepAliveTimeout = 15_000;
  server.maxConnections = 100;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen("health", where, error)));
    server.listen(where.port, where.address, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: reachableUrl(where.address, port),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

async function answer(
  request: http.IncomingMessage,
  health: () => Health | Promise<Health>,
  metrics: MetricsPage,
): Promise<Answer> {
  const path = (request.url ?? "").split("?")[0];
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, type: "text/plain", body: "GET only\n" };
  }
  if (path === "/metrics") return { status: 200, type: metrics.contentType, body: await metrics.text() };
  if (path !== "/health") return { status: 404, type: "text/plain", body: "/health or /metrics\n" };
  const { ready, reasons, warnings = [], workers } = await healthInTime(health);
  const more = { ...(warnings.length > 0 && { warnings }), ...(workers !== undefined && { workers }) };
  return {
    status: ready ? 200 : 503,
    type: "application/json",
    body: `${JSON.stringify({ live: true, ready, reasons, ...more })}\n`,
  };
}

/** Never rejects, and answers within healthLimitMs: a probe must hear that a service hangs. */
export async function healthInTime(health: () => Health | Promise<Health>): Promise<Health> {
  const late = new TimeoutError("late");
  try {
    return await withTimeout((async () => health())(), healthLimitMs, () => late);
  } catch (error) {
    if (error === late) return { ready: false, reasons: ["the health check does not answer"] };
    return { ready: false, reasons: [`the health check failed: ${(error as Error).message}`] };
  }
}

/** The URL that other machines can reach a server by, from the address that it listens on. */
export function reachableUrl(address: string, port: number): string {
  const host = address === "0.0.0.0" || address === "::" ? hostname() : address;
  return `http://${formatHostPort({ host, port })}`;
}
