/** An admin service on a real Redis and a memory spool, with mail in its queues. The test closes it. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type AdminService, startAdmin } from "../../services/admin/admin.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import { deadFromMessage } from "../../shared/queue/contract/dead-job.ts";
import type { Consumer, DeliveryTask, JobNext } from "../../shared/queue/contract/queue.ts";
import { createHolds, type Holds } from "../../shared/queue/holds/store.ts";
import { createInspector, type Inspector } from "../../shared/queue/operator/inspector.ts";
import { createProducer, type QueueProducer } from "../../shared/queue/producer.ts";
import { announceService } from "../../shared/runtime/announcement.ts";
import type { Health } from "../../shared/runtime/health-server.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";
import type { EnhancedStatus } from "../../shared/smtp/status.ts";
import type { SmtpClientOptions } from "../../shared/smtp-client/create-smtp-client.ts";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import type { Spool, StoredMessage } from "../../shared/spool/spool.ts";
import { testConfig } from "./config.ts";
import { startRedis, type TestRedis } from "./redis.ts";
import { routeNamed } from "./route-named.ts";
import { waitFor } from "./wait-for.ts";

export const token = "test-token-of-the-admin";

export interface GivenMail {
  from?: string;
  /** One job for each entry. */
  to?: string[][];
  route?: string;
  receivedAtMs?: number;
  messageId?: string;
  body?: Buffer;
  envelope?: Partial<MessageMeta["envelope"]>;
}

export interface TestAdmin {
  admin: AdminService;
  url: string;
  config: Config;
  redis: TestRedis;
  spool: Spool;
  /** A connection of the test's own. */
  producer: QueueProducer;
  holds: Holds;
  inspector: Inspector;
  /** The log of the admin, oldest record first. */
  log: Record<string, unknown>[];
  /** Accepts a message and enqueues it. */
  accept(given?: GivenMail): Promise<StoredMessage>;
  /** Runs a delivery worker that defers every waiting job once, for this reason. */
  defer(reason: string, options?: { forMs?: number; status?: EnhancedStatus }): Promise<void>;
  /** Starts a delivery worker that keeps its jobs active until the returned function releases them. */
  takeActive(): Promise<{ jobIds: string[]; letGo(next: JobNext): Promise<void> }>;
  /** Makes a message dead, as the bounce service does with one that it cannot return. */
  moveToDead(message: StoredMessage, reason: string): Promise<void>;
  /** Announces other services as if they were running. */
  announce(name: string, health?: Health, url?: string): Promise<void>;
  /** Sends GET with the token, unless other headers are given. */
  get(pathname: string, headers?: Record<string, string>): Promise<Response>;
  post(pathname: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  close(): Promise<void>;
}

export async function startTestAdmin(
  given: Parameters<typeof testConfig>[0] = {},
  options: { spool?: Spool; redis?: "unix" | "tcp"; smtpClient?: SmtpClientOptions } = {},
): Promise<TestAdmin> {
  const data = await mkdtemp(path.join(tmpdir(), "admin-test-"));
  // Throws for a configuration that is not valid: before anything runs.
  const config = testConfig({ data, admin: { port: 0, token }, ...given });
  const redis = await startRedis(options.redis);
  const lines: Record<string, unknown>[] = [];
  const log = createLogger("admin", { write: (line) => lines.push(JSON.parse(line)) });
  const quiet = createLogger("test", { write() {} });
  const redisConfig = { url: redis.url };
  const spool = options.spool ?? createMemorySpool();
  const holdsFile = path.join(data, "holds.json");
  const producer = createProducer(redisConfig, quiet);
  const holds = createHolds({ redis: redisConfig, file: path.join(data, "holds.json"), log: quiet });
  const inspector = createInspector({ redis: redisConfig, holds, log: quiet });
  const announced: { close(): Promise<void> }[] = [];
  /** Stops the workers of a test that failed before it released them. */
  const consumers = new Set<Consumer>();
  const consume = (handle: (task: DeliveryTask) => Promise<JobNext>): { close(): Promise<void> } => {
    const consumer = consumeDeliveries({ redis: redisConfig, log: quiet, concurrency: 50, handle });
    consumers.add(consumer);
    return {
      async close() {
        consumers.delete(consumer);
        await consumer.close(5000);
      },
    };
  };
  const release = async (): Promise<void> => {
    await Promise.all([...consumers].map((consumer) => consumer.close(0)));
    await Promise.all(announced.map((each) => each.close()));
    await Promise.all([producer.close(), inspector.close(), holds.close()]);
    await spool.close();
    await redis.close();
    await rm(data, { recursive: true, force: true });
  };
  const admin = await startAdmin({
    config,
    redis: redisConfig,
    log,
    metrics: createMetrics("admin"),
    spool,
    holdsFile,
    ...(options.smtpClient === undefined ? {} : { smtpClient: options.smtpClient }),
  }).catch(async (error) => {
    await release();
    throw error;
  });

  await waitFor("the producer's connection", () =>
    producer.requestScan().then(
      () => true,
      () => false,
    ),
  );

  const withToken = (headers: Record<string, string>) => ({ authorization: `Bearer ${token}`, ...headers });
  return {
    admin,
    url: admin.url,
    config,
    redis,
    spool,
    producer,
    holds,
    inspector,
    log: lines,
    async accept(mail = {}) {
      const message = await store(spool, mail);
      const routes = message.meta.parts.map(() => routeNamed(mail.route ?? "relay mx:example.com"));
      await producer.addDeliveries([{ message, routes }]);
      return message;
    },
    async defer(reason, { forMs = 600_000, status = "4.7.1" } = {}) {
      const worker = consume(async ({ queue, job }) => {
        const diagnosis = { ...failure(reason, status), atMs: Date.now() };
        const recipients = job.to.map((_, index) => index);
        const attempts = (job.history?.attempts ?? 0) + 1;
        const history = { attempts, lastAttemptAtMs: Date.now(), last: [{ recipients, diagnosis }] };
        return { kind: "later", atMs: Date.now() + forMs, queue, history, route: routeNamed(job.route) };
      });
      await waitFor("all jobs to be deferred", async () => {
        const { delivery } = await inspector.counts();
        return delivery.waiting + delivery.active === 0;
      });
      await worker.close();
    },
    async takeActive() {
      const end = Promise.withResolvers<JobNext>();
      const jobIds: string[] = [];
      const worker = consume(({ jobId }) => {
        jobIds.push(jobId);
        return end.promise;
      });
      // A job is active in Redis before its handler starts.
      await waitFor("the jobs to be active", async () => {
        const { waiting, active } = (await inspector.counts()).delivery;
        return waiting === 0 && jobIds.length >= active;
      });
      return {
        jobIds,
        async letGo(next) {
          end.resolve(next);
          await waitFor(
            "the jobs to be released",
            async () => (await inspector.counts()).delivery.active === 0,
          );
          await worker.close();
        },
      };
    },
    async moveToDead(message, reason) {
      const diagnosis = { ...failure(reason, "5.1.1"), atMs: Date.now() };
      const { id, parts } = message.meta;
      const atMs = Date.now();
      const recipients = parts.flat();
      await spool.settle([{ id, recipients, state: { kind: "dead", diagnosis, atMs } }]);
      for (const [part] of parts.entries()) {
        const cause = { diagnosis, atMs };
        await producer.addDead(deadFromMessage(message, part, routeNamed("relay mx:example.com"), cause));
      }
    },
    async announce(name, health = { ready: true, reasons: [] }, url) {
      const options = { redis: redisConfig, name, url: url ?? null, log: quiet };
      announced.push(announceService({ ...options, health: async () => health }));
    },
    get: (pathname, headers) => fetch(admin.url + pathname, { headers: headers ?? withToken({}) }),
    post: (pathname, body, headers) =>
      fetch(admin.url + pathname, {
        method: "POST",
        headers: headers ?? withToken({ "content-type": "application/json" }),
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    async close() {
      await admin.close(1000);
      await release();
    },
  };
}

function failure(reason: string, status: EnhancedStatus): Omit<Diagnosis, "atMs"> {
  return {
    status,
    class: status.startsWith("5") ? "5xx" : "4xx",
    reason,
    reply: { code: status.startsWith("5") ? 550 : 450, enhanced: status, lines: [reason], command: "RCPT" },
    remote: { host: "mx.example.com", address: "203.0.113.25", port: 25 },
  };
}

async function store(spool: Spool, given: GivenMail): Promise<StoredMessage> {
  const body =
    given.body ?? Buffer.from("Subject: a test\r\nFrom: a@example.net\r\n\r\nThe secret body.\r\n");
  const to = given.to ?? [["b@example.com"]];
  const receivedAtMs = given.receivedAtMs ?? Date.now();
  let next = 0;
  const meta: MessageMeta = {
    version: 1,
    id: makeQueueId(receivedAtMs, randomBytes(9)),
    receivedAtMs,
    envelope: {
      reversePath: given.from ?? "a@example.net",
      recipients: to.flat().map((address) => ({ address })),
      ...given.envelope,
    },
    origin: {
      connection: {
        id: "s1",
        listener: "submission",
        client: { address: "192.0.2.7", port: 4711 },
        destination: { address: "192.0.2.1", port: 25 },
        direction: "local",
      },
      helo: "client.example.net",
      protocol: "ESMTP",
    },
    received: "Received: from client.example.net ([192.0.2.7]) by gw.example.net with ESMTP\r\n",
    ...(given.messageId === undefined ? {} : { messageId: given.messageId }),
    size: body.length,
    has8bit: false,
    parts: to.map((part) => part.map(() => next++)),
  };
  const draft = spool.draft();
  await draft.write(body);
  return draft.commit(meta);
}
