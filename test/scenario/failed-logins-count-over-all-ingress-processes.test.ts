import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createClusterLoginFailures } from "../../shared/limits/cluster-login-failures.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { startRedis } from "../support/redis.ts";
import { waitFor } from "../support/wait-for.ts";

const limits = { client: { count: 3, periodMs: 3_600_000 }, user: { count: 5, periodMs: 3_600_000 } };
const log = createLogger("test", { write() {} });

/** What two ingress processes know of failed logins. */
async function twoProcesses(t: TestContext) {
  const redis = await startRedis();
  t.after(() => redis.close());
  const processes = [1, 2].map(() => createClusterLoginFailures({ redis: { url: redis.url }, log }));
  t.after(() => {
    for (const each of processes) each.close();
  });
  const [a, b] = processes;
  if (a === undefined || b === undefined) throw new Error("two processes");
  return { redis, a, b };
}

test("a client's failures in one process count in the other", async (t) => {
  const { a, b } = await twoProcesses(t);
  const attempt = { client: "192.0.2.1", user: "alice" };
  assert.equal(await a.countFailure(attempt, limits), 1);
  assert.equal(await b.countFailure({ ...attempt, user: "bob" }, limits), 2);
  assert.equal(await a.limitReached(attempt, limits), undefined);
  assert.equal(await a.countFailure(attempt, limits), 3);
  assert.equal(await b.limitReached(attempt, limits), "client");
  assert.equal(await b.limitReached({ ...attempt, client: "192.0.2.2" }, limits), undefined);
});

test("a user's failures from many clients count together; a client that has logged in as the user goes on", async (t) => {
  const { a, b } = await twoProcesses(t);
  a.countSuccess({ client: "192.0.2.77", user: "alice" });
  for (let host = 1; host <= 5; host++) {
    await (host % 2 === 0 ? a : b).countFailure({ client: `198.51.100.${host}`, user: "alice" }, limits);
  }
  assert.equal(await a.limitReached({ client: "203.0.113.1", user: "alice" }, limits), "user");
  assert.equal(await b.limitReached({ client: "192.0.2.77", user: "alice" }, limits), undefined);
});

test("counts end with their period, which a later failure does not prolong, and Redis keeps no name", async (t) => {
  const { redis, a } = await twoProcesses(t);
  const attempt = { client: "192.0.2.1", user: "alice@example.com" };
  await a.countFailure(attempt, limits);
  await a.countFailure(attempt, { ...limits, client: { count: 3, periodMs: 9_000_000 } });
  const keys = (await redis.command("KEYS *")).match(/\{postern\}\S+/g) ?? [];
  assert.equal(keys.length, 2);
  assert.doesNotMatch(keys.join(), /alice/);
  for (const key of keys) {
    const leftMs = Number(/^:(\d+)/.exec(await redis.command(`PTTL ${key}`))?.[1]);
    assert.ok(leftMs > 0 && leftMs <= 3_600_000, `${key}: ${leftMs}`);
  }
});

test("while Redis is away each process goes on with what it has counted itself", async (t) => {
  const { redis, a, b } = await twoProcesses(t);
  const attempt = { client: "192.0.2.1", user: "alice" };
  for (let failure = 1; failure <= 3; failure++) await a.countFailure(attempt, limits);
  assert.equal(await b.limitReached(attempt, limits), "client");
  await redis.kill();
  await waitFor("the other process to count for itself", async () => {
    return (await b.limitReached(attempt, limits)) === undefined;
  });
  assert.equal(await a.limitReached(attempt, limits), "client");
  assert.equal(await b.countFailure(attempt, limits), 1);
});
