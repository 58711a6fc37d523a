/** The delivery and bounce services in this process, with a spool, a Redis and scripted servers. The end of the test closes them. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import type { z } from "zod";
import { type BounceOptions, startBounce } from "../../services/bounce/bounce.ts";
import { type DeliveryOptions, startDelivery } from "../../services/delivery/delivery.ts";
import type { Config, configSchema } from "../../shared/config/schema.ts";
import type { Envelope } from "../../shared/mail/envelope.ts";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { RunningService } from "../../shared/runtime/run-service.ts";
import { createFsSpool, type FsSpool } from "../../shared/spool/fs/fs-spool.ts";
import type { FsSpoolOptions } from "../../shared/spool/fs/options.ts";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { testConfig } from "./config.ts";
import { connectedProducer } from "./connected-producer.ts";
import { startRedis, type TestRedis } from "./redis.ts";

export interface MailFlow {
  config: Config;
  redis: TestRedis;
  /** The spool, opened by the test. */
  spool: FsSpool;
  events: Record<string, unknown>[];
  /** Stores and enqueues a message as the ingress does. @param parts  absent: one job for all recipients */
  accept(envelope: Partial<Envelope> & { to: string[] }, parts?: number[][]): Promise<StoredMessage>;
  /** @param more  starts a further worker, whose name is in its events as `worker` */
  startDelivery(more?: StartedDelivery): Promise<RunningService>;
  startBounce(more?: Pick<BounceOptions, "workerTiming">): Promise<RunningService>;
  /** The recorded states of the recipients of a message. */
  kinds(id: string): Promise<string[]>;
}

export interface StartedDelivery extends Pick<DeliveryOptions, "workerTiming"> {
  name?: string;
  /** Of the spool that the service opens. */
  spool?: Partial<FsSpoolOptions>;
}

/** The reconciler scans often, so that tests do not wait for it. */
const reconcilerTiming = { tickMs: 100, leaseMs: 2_000, scanEveryMs: 500, reclaimMs: 100 };

export async function createMailFlow(
  t: TestContext,
  given: Partial<z.input<typeof configSchema>> = {},
): Promise<MailFlow> {
  const redis = await startRedis();
  const directory = await mkdtemp(path.join(tmpdir(), "mail-flow-"));
  const config = testConfig({ redis: { url: redis.url }, data: directory, ...given });
  const redisConfig = { url: redis.url };
  const events: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void events.push(JSON.parse(line)) });
  const openSpool = (more: Partial<FsSpoolOptions> = {}) =>
    createFsSpool({ directory: path.join(directory, "spool"), followMs: 50, ...more });
  const spool = openSpool();
  const producer = await connectedProducer(redis, log);
  const running: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const close of running.reverse()) await close();
    await producer.close();
    await spool.close();
    await redis.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** Each service opens the spool for itself, as it does in a process of its own. */
  const run = async (
    start: (own: FsSpool) => Promise<RunningService>,
    more?: Partial<FsSpoolOptions>,
  ): Promise<RunningService> => {
    const own = openSpool(more);
    const service = await start(own);
    let closed: Promise<void> | undefined;
    const close = (graceMs: number): Promise<void> => {
      closed ??= service.close(graceMs).then(() => own.close());
      return closed;
    };
    running.push(() => close(2_000));
    return { health: () => service.health(), prepare: (next) => service.prepare(next), close };
  };

  return {
    config,
    redis,
    spool,
    events,
    async accept({ to, ...envelope }, parts) {
      const recipients = envelope.recipients ?? to.map((address) => ({ address }));
      const body = Buffer.from("Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n");
      const draft = spool.draft();
      await draft.write(body);
      const stored = await draft.commit({
        version: 1,
        id: makeQueueId(Date.now(), randomBytes(9)),
        receivedAtMs: Date.now(),
        envelope: { reversePath: "alice@sender.example", ...envelope, recipients },
        origin: null,
        received: "",
        messageId: "<1@example.org>",
        size: body.length,
        has8bit: false,
        parts: parts ?? [recipients.map((_, index) => index)],
      });
      await producer.addDeliveries([{ message: stored, routes: [] }]);
      return stored;
    },
    startDelivery: ({ name, spool: spoolOptions, ...more } = {}) =>
      run(
        (own) =>
          startDelivery({
            ...more,
            config,
            redis: redisConfig,
            log: name === undefined ? log : log.child({ worker: name }),
            spool: own,
            holdsFile: path.join(directory, "spool", "holds.json"),
            reconcilerTiming,
          }),
        spoolOptions,
      ),
    startBounce: (more) =>
      run((own) => startBounce({ ...more, config, redis: redisConfig, log, spool: own })),
    async kinds(id) {
      const states = await spool.states(id, true);
      return [...states].sort(([a], [b]) => a - b).map(([, { kind }]) => kind);
    },
  };
}
