/**
 * The metrics of every service, on the admin's /metrics: one place to scrape. Asks all of them at once, each within a
 * bounded time and size, so that one that is dead or hangs does not hold up the others. It owns nothing.
 */
import { hostname } from "node:os";
import type { ServiceAnnouncement } from "../../../shared/runtime/announcement.ts";
import type { Metrics } from "../../../shared/runtime/metrics.ts";
import { within } from "../routes/readiness.ts";
import { mergeMetrics } from "./merge-metrics.ts";
import { scrapeTargets, type Target } from "./targets.ts";

export interface Federation {
  /** The metrics of this process and of all services. */
  text(): Promise<string>;
}

export interface FederationOptions {
  metrics: Metrics;
  /** @throws Error of Redis */
  announced(): Promise<ServiceAnnouncement[]>;
  /** The host of this process; absent: as the system names it. */
  here?: string;
  /** How long a service may take; absent: 3 s. */
  limitMs?: number;
}

interface Scraped {
  target: Target;
  /** `undefined`: it did not answer. */
  text: string | undefined;
}

/** Prometheus gives a scrape 10 s by default. */
const defaultLimitMs = 3_000;
/** A process has some 40 KB; labels are bounded. */
const maxOctets = 2 * 2 ** 20;

export function createFederation(options: FederationOptions): Federation {
  const { metrics, here = hostname(), limitMs = defaultLimitMs } = options;
  let underWay: Promise<Scraped[]> | undefined;

  async function scrapeAll(): Promise<Scraped[]> {
    const known = await within(limitMs, options.announced);
    if (known.kind !== "ok") return [];
    return Promise.all(scrapeTargets(known.value, here).map((target) => scrape(target, limitMs)));
  }

  /** Scrapes at the same time share their questions. */
  function current(): Promise<Scraped[]> {
    underWay ??= scrapeAll().finally(() => {
      underWay = undefined;
    });
    return underWay;
  }

  metrics.gauge(
    "scrape_up",
    "1: this service answered the admin with its metrics; 0: it is announced and did not answer within 3 s, so it hangs, has just ended, or listens on an address that the admin cannot reach (health.address).",
    async () =>
      new Map(
        (await current()).map(({ target, text }) => [
          `${target.name}\t${target.instance}`,
          text === undefined ? 0 : 1,
        ]),
      ),
    ["name", "instance"],
  );

  return {
    async text() {
      const [own, services] = await Promise.all([metrics.text(), current()]);
      return mergeMetrics([
        { text: own },
        ...services.flatMap(({ target, text }) =>
          text === undefined ? [] : [{ instance: target.instance, text }],
        ),
      ]);
    },
  };
}

/** Never rejects. */
async function scrape(target: Target, limitMs: number): Promise<Scraped> {
  if (target.url === undefined) return { target, text: undefined };
  try {
    const response = await fetch(`${target.url}/metrics`, {
      signal: AbortSignal.timeout(limitMs),
      redirect: "error",
    });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      return { target, text: undefined };
    }
    const chunks: Uint8Array[] = [];
    let octets = 0;
    for await (const chunk of response.body) {
      octets += chunk.byteLength;
      if (octets > maxOctets) return { target, text: undefined };
      chunks.push(chunk);
    }
    return { target, text: Buffer.concat(chunks).toString("utf8") };
  } catch {
    return { target, text: undefined };
  }
}
