import assert from "node:assert/strict";
import { test } from "node:test";
import { takeOver } from "../../../shared/config/take-over.ts";
import { testConfig } from "../../support/config.ts";

const submission = { name: "submission", address: "127.0.0.1", port: 2525 };
const other = { name: "other", address: "127.0.0.1", port: 2526 };

test("what has not changed is not named", () => {
  const config = testConfig({ relay: { clients: ["192.0.2.0/24"] } });
  const same = testConfig({ relay: { clients: ["192.0.2.0/24"] } });
  assert.deepEqual(takeOver(config, same, "ingress"), { config: same, changed: [], restart: [] });
});

test("keys that take effect at a reload are taken and named", () => {
  const running = testConfig({ relay: { clients: ["192.0.2.0/24"] } });
  const next = testConfig({ relay: { clients: ["198.51.100.0/24"] }, limits: { message: "1MB" } });
  const taken = takeOver(running, next, "ingress");
  assert.deepEqual(taken.changed.toSorted(), ["limits.message", "relay.clients"]);
  assert.deepEqual(taken.restart, []);
  assert.equal(taken.config.limits.message, 1024 ** 2);
  assert.ok(taken.config.relay.clients[0]?.contains("198.51.100.7"));
});

test("keys that need a restart keep their running values, and the others of their section are taken", () => {
  const running = testConfig({ data: "/a", admin: { port: 1, token: "old" } });
  const next = testConfig({ data: "/b", admin: { port: 2, token: "new" } });
  const taken = takeOver(running, next, "admin");
  assert.deepEqual(taken.restart.toSorted(), ["admin.port", "data"]);
  assert.deepEqual(taken.changed, ["admin.token"]);
  assert.equal(taken.config.data, "/a");
  assert.deepEqual([taken.config.admin.port, taken.config.admin.token], [1, "new"]);
  assert.equal(takeOver(running, next, "ingress").config.admin.port, 2);
});

test("a section that comes or goes keeps away or stays until the restart", () => {
  const without = testConfig();
  const withRedis = testConfig({ redis: { url: "redis://192.0.2.1:6379" } });
  assert.equal(takeOver(without, withRedis, "bounce").config.redis, undefined);
  assert.deepEqual(takeOver(without, withRedis, "bounce").restart, ["redis.url"]);
  assert.equal(takeOver(withRedis, without, "bounce").config.redis?.url, "redis://192.0.2.1:6379");
});

test("a listener keeps its socket, and follows the settings of the one with its name", () => {
  const running = testConfig({ listeners: [submission, other] });
  const next = testConfig({
    listeners: [
      { ...other, bare_newline: "normalise" },
      { ...submission, port: 25 },
    ],
  });
  const { config, changed, restart } = takeOver(running, next, "ingress");
  assert.deepEqual(
    config.listeners.map(({ name, port, bare_newline }) => [name, port, bare_newline]),
    [
      ["submission", 2525, "refuse"],
      ["other", 2526, "normalise"],
    ],
  );
  assert.deepEqual(changed, ["listeners[].bare_newline (other)"]);
  assert.deepEqual(restart, ["listeners[].port (submission)"]);
});

test("a listener that is new or gone is so after the restart", () => {
  const running = testConfig({ listeners: [submission] });
  const next = testConfig({ listeners: [other] });
  const { config, restart } = takeOver(running, next, "ingress");
  assert.deepEqual(
    config.listeners.map(({ name }) => name),
    ["submission"],
  );
  assert.deepEqual(restart, ["listeners (submission is gone)", "listeners (other is new)"]);
  assert.deepEqual(takeOver(running, next, "delivery").config.listeners, next.listeners);
});
