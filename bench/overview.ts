/** What an operator waits for with 200,000 deferred messages: status, summaries, and the first page of lists, from a running admin. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { type AdminService, startAdmin } from "../services/admin/admin.ts";
import type { EventPublisher } from "../shared/events/stream/event-publisher.ts";
import { createMetrics } from "../shared/runtime/metrics.ts";
import { createRedis } from "../shared/runtime/redis.ts";
import { createMemorySpool } from "../shared/spool/memory.ts";
import { testConfig } from "../test/support/config.ts";
import { startRedis } from "../test/support/redis.ts";
import { waitFor } from "../test/support/wait-for.ts";
import type { BenchOptions } from "./options.ts";
import { addDeferredJobs } from "./peers/deferred-jobs.ts";
import { addLivelyHour } from "./peers/lively-hour.ts";
import { storeMessages } from "./peers/stored-messages.ts";
import type { Row, Section } from "./report.ts";

const log = pino({ level: "error" });
const targetMs = 200;

/** The four calls of the dashboard's overview, which it makes at once. */
const overviewCalls = [
  "/api/v1/status",
  "/api/v1/rates?minutes=60",
  "/api/v1/queues/summary?by=destination&limit=8",
  "/api/v1/queues/summary?by=reason&limit=8",
];

/** What is asked, as the command line and the pages of the dashboard ask it. Several paths are asked at once. */
const questionsAbout = (id: string): Record<string, string[]> => ({
  "`postern status`": ["/api/v1/status"],
  "`queue summary`, by destination": ["/api/v1/queues/summary?by=destination"],
  "`queue summary --by reason`": ["/api/v1/queues/summary?by=reason"],
  "`queue summary --by sender`": ["/api/v1/queues/summary?by=sender"],
  "`queue summary --by reason --to *@d77.example`": ["/api/v1/queues/summary?by=reason&to=*@d77.example"],
  "`queue list`, first page": ["/api/v1/messages"],
  "`queue list --sort newest`, first page": ["/api/v1/messages?sort=newest"],
  "`queue list --search`, first page": ["/api/v1/messages?search=d77.example"],
  "`queue list --error` that finds nothing": ["/api/v1/messages?error=nothing+of+the+kind"],
  "`destination NAME`": ["/api/v1/destinations/d77.example"],
  "counts of the queues": ["/api/v1/queues"],
  "dashboard, overview: rates of an hour": ["/api/v1/rates?minutes=60"],
  "dashboard, overview: its four calls at once": overviewCalls,
  "dashboard, destinations": [
    "/api/v1/destinations?limit=50",
    "/api/v1/queues/summary?by=destination&limit=200",
  ],
  "dashboard, one destination": [
    "/api/v1/destinations/d77.example",
    "/api/v1/messages?to=*@d77.example&sort=oldest&limit=20",
  ],
  "dashboard, queue": ["/api/v1/messages?limit=100"],
  "dashboard, one message": [`/api/v1/messages/${id}`, `/api/v1/trace?q=${id}`],
  "dashboard, tracking of an hour": ["/api/v1/events?within=1h&limit=60"],
  "dashboard, tracking of an address": ["/api/v1/trace?q=recipient77@d77.example&limit=100"],
  "dashboard, dead mail": ["/api/v1/messages?status=dead&limit=200"],
  "dashboard, holds": ["/api/v1/holds"],
  "dashboard, tasks": ["/api/v1/tasks"],
  "dashboard, configuration": ["/api/v1/config"],
});

export async function overview({ rounds, scale, say }: BenchOptions): Promise<Section> {
  const count = Math.round(200_000 * scale);
  const redis = await startRedis();
  const data = mkdtempSync(join(tmpdir(), "postern-bench-overview-"));
  const config = testConfig({ data, admin: { port: 0, token: "bench" } });
  const connection = createRedis({ url: redis.url }, "plain", log);
  const holdsFile = join(data, "holds.json");
  let admin: AdminService | undefined;
  let events: EventPublisher | undefined;
  try {
    await addDeferredJobs(connection, count);
    const spool = createMemorySpool();
    const [message] = await storeMessages(spool, "d77.example", 1, 4_096);
    if (message === undefined) throw new Error("no message was stored");
    const { id } = message.meta;
    events = await addLivelyHour(connection, redis.url, log, id);
    const before = process.memoryUsage().heapUsed;
    const startMs = performance.now();
    admin = await startAdmin({
      config,
      redis: { url: redis.url },
      log,
      metrics: createMetrics("admin"),
      spool,
      holdsFile,
    });
    const { url } = admin;
    const send = (path: string, init: RequestInit = {}) =>
      fetch(`${url}${path}`, {
        ...init,
        headers: { authorization: "Bearer bench", "content-type": "application/json" },
      });
    const ask = async (path: string) => (await (await send(path)).json()) as Record<string, unknown>;
    const hold = await send("/api/v1/holds", {
      method: "POST",
      body: JSON.stringify({ kind: "destination", value: "d99.example", reason: "their server moves" }),
    });
    if (hold.status !== 201) throw new Error(`no hold: ${await hold.text()}`);
    const askWell = async (path: string): Promise<void> => {
      const response = await send(path);
      const text = await response.text();
      if (!response.ok) throw new Error(`${path}: ${text}`);
    };
    await waitFor("the events", async () => (await send(`/api/v1/trace?q=${id}`)).ok);
    await waitFor("the index", async () => (await ask("/api/v1/queues/summary")).indexed === count, 120_000);
    const buildSeconds = (performance.now() - startMs) / 1000;
    globalThis.gc?.();
    const octets = (process.memoryUsage().heapUsed - before) / count;
    say(
      `overview: ${count} messages indexed after ${buildSeconds.toFixed(1)} s, ${octets.toFixed(0)} octets each`,
    );
    const rows: Row[] = [];
    for (const [name, paths] of Object.entries(questionsAbout(id))) {
      const took: number[] = [];
      for (let round = 0; round < Math.max(5, rounds); round++) {
        const askedMs = performance.now();
        await Promise.all(paths.map(askWell));
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
    return {
      title: `The operator's overview, ${count} deferred messages`,
      about:
        "In 500 destinations, from 1,000 senders, for some 40 reasons. Requests to a running admin, which brings its index up to date meanwhile; the last hour has traffic and events, and one destination is held.",
      rows,
    };
  } finally {
    await admin?.close(1_000);
    await events?.close();
    connection.disconnect();
    await redis.close();
    rmSync(data, { recursive: true, force: true });
  }
}
