/** What an operator waits for with 200,000 deferred messages: status, summaries, and the first page of lists, from a running admin. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { startAdmin } from "../services/admin/admin.ts";
import { createMetrics } from "../shared/runtime/metrics.ts";
import { createRedis } from "../shared/runtime/redis.ts";
import { createMemorySpool } from "../shared/spool/memory.ts";
import { testConfig } from "../test/support/config.ts";
import { startRedis } from "../test/support/redis.ts";
import { waitFor } from "../test/support/wait-for.ts";
import type { BenchOptions } from "./options.ts";
import { addDeferredJobs } from "./peers/deferred-jobs.ts";
import type { Row, Section } from "./report.ts";

const log = pino({ level: "error" });
const targetMs = 200;

/** What is asked, as the command line and the start page ask it. */
const questions: Record<string, string> = {
  "`postern status`": "/api/v1/status",
  "`queue summary`, by destination": "/api/v1/queues/summary?by=destination",
  "`queue summary --by reason`": "/api/v1/queues/summary?by=reason",
  "`queue summary --by sender`": "/api/v1/queues/summary?by=sender",
  "`queue list`, first page": "/api/v1/messages",
  "`queue list --sort newest`, first page": "/api/v1/messages?sort=newest",
  "`queue list --search`, first page": "/api/v1/messages?search=d77.example",
  "`queue list --error` that finds nothing": "/api/v1/messages?error=nothing+of+the+kind",
  "`destination NAME`": "/api/v1/destinations/d77.example",
  "counts of the queues": "/api/v1/queues",
};

export async function overview({ rounds, scale, say }: BenchOptions): Promise<Section> {
  const count = Math.round(200_000 * scale);
  const redis = await startRedis();
  const data = mkdtempSync(join(tmpdir(), "postern-bench-overview-"));
  const config = testConfig({ data, admin: { port: 0, token: "bench" } });
  const connection = createRedis({ url: redis.url }, "plain", log);
  const holdsFile = join(data, "holds.json");
  try {
    await addDeferredJobs(connection, count);
    const before = process.memoryUsage().heapUsed;
    const startMs = performance.now();
    const admin = await startAdmin({
      config,
      redis: { url: redis.url },
      log,
      metrics: createMetrics("admin"),
      spool: createMemorySpool(),
      holdsFile,
    });
    const ask = async (path: string): Promise<Record<string, unknown>> => {
      const response = await fetch(`${admin.url}${path}`, { headers: { authorization: "Bearer bench" } });
      return (await response.json()) as Record<string, unknown>;
    };
    await waitFor("the index", async () => (await ask("/api/v1/queues/summary")).indexed === count, 120_000);
    const buildSeconds = (performance.now() - startMs) / 1000;
    globalThis.gc?.();
    const octets = (process.memoryUsage().heapUsed - before) / count;
    say(
      `overview: ${count} messages indexed after ${buildSeconds.toFixed(1)} s, ${octets.toFixed(0)} octets each`,
    );
    const rows: Row[] = [];
    for (const [name, path] of Object.entries(questions)) {
      const took: number[] = [];
      for (let round = 0; round < Math.max(5, rounds); round++) {
        const askedMs = performance.now();
        await ask(path);
        took.push(performance.now() - askedMs);
      }
      say(`overview, ${name}: ${took.map((ms) => ms.toFixed(0)).join(", ")} ms`);
      rows.push({ name, unit: "ms", ours: took, target: { kind: "at-most", value: targetMs } });
    }
    rows.push({
      name: "admin started: until all messages are in its index",
      unit: "s",
      ours: [buildSeconds],
    });
    rows.push({ name: "memory of the index for each message", unit: "octets", ours: [octets] });
    await admin.close(1_000);
    return {
      title: `The operator's overview, ${count} deferred messages`,
      about:
        "In 500 destinations, from 1,000 senders, for some 40 reasons. Requests to a running admin, which brings its index up to date meanwhile.",
      rows,
    };
  } finally {
    connection.disconnect();
    await redis.close();
    rmSync(data, { recursive: true, force: true });
  }
}
