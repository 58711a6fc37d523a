import assert from "node:assert/strict";
import { test } from "node:test";
import { consumeDeliveries } from "../../shared/queue/consumer.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { freePort } from "../support/free-port.ts";
import { waitFor } from "../support/wait-for.ts";

for (const [what, url] of [
  ["a name that does not resolve", "redis://no..such:6379/0"],
  ["a port where nothing listens", `redis://127.0.0.1:${await freePort()}/0`],
] as const) {
  test(`Redis at ${what} is one line in the log, however often a worker tries again`, async () => {
    const lines: Record<string, unknown>[] = [];
    const log = createLogger("delivery", { write: (line) => lines.push(JSON.parse(line)) });
    log.level = "debug";
    const consumer = consumeDeliveries({
      redis: { url },
      log,
      concurrency: 4,
      handle: async () => ({ kind: "done" }),
    });
    const isLoud = ({ level }: Record<string, unknown>): boolean => level !== "debug";
    await waitFor("the outage to be logged", () => lines.some(isLoud));
    const triedBefore = lines.length;
    await waitFor("the worker to try again", () => lines.length >= triedBefore + 6);
    await consumer.close(0);
    const loud = lines.filter(isLoud);
    assert.deepEqual(
      loud.map(({ level, message }) => [level, message]),
      [["warn", "Redis is out of reach"]],
    );
    assert.equal(loud[0]?.err, undefined);
  });
}
