import assert from "node:assert/strict";
import { test } from "node:test";
import { checkReadiness, faultyServices } from "../../../../services/admin/routes/readiness.ts";
import type { ServiceRow } from "../../../../services/admin/routes/schemas.ts";
import type { RedisHealthConnection } from "../../../../shared/runtime/redis-health.ts";
import { SpoolFull } from "../../../../shared/spool/spool.ts";

function service(name: string, ready = true, reasons: string[] = []): ServiceRow {
  return { name, host: "h1", pid: 1, startedAt: new Date().toISOString(), url: null, ready, reasons };
}
const all = ["ingress", "delivery", "bounce"].map((name) => service(name));
const redis = {
  status: "ready",
  set: async () => "OK",
} as unknown as RedisHealthConnection;
const spool = { checkWritable: async () => {} };
const without = (values: { set: () => Promise<never> }) => ({
  ...redis,
  ...values,
});
const memoryInfo = async () => "";
const never = () => new Promise<never>(() => {});

test("ready when Redis and spool take writes and one instance of each service is ready", async () => {
  const services = async () => [...all, service("delivery", false, ["starting"])];
  assert.deepEqual(await checkReadiness({ redis, memoryInfo, spool, services }), {
    ready: true,
    reasons: [],
  });
});

test("each reason has a line of its own", async () => {
  const checkWritable = async () => {
    throw new SpoolFull("less than 64 MB are free");
  };
  const services = async () => [service("ingress", false, ["no listener"])];
  const health = await checkReadiness({ redis, memoryInfo, spool: { checkWritable }, services });
  assert.equal(health.ready, false);
  assert.deepEqual(health.reasons, [
    "the disk of the spool is full, and no mail is accepted: less than 64 MB are free",
    "ingress on h1 is not ready: no listener",
    "delivery: no instance has announced itself",
    "bounce: no instance has announced itself",
  ]);
  assert.deepEqual(faultyServices(all), []);
});

test("what the whole gateway lacks is named once, not again for each service", async () => {
  const set = async () => {
    throw new Error("OOM command not allowed when used memory > 'maxmemory'.");
  };
  const full =
    "Redis is full: its memory has reached maxmemory, and nothing can be scheduled; raise maxmemory";
  const services = async () => [
    service("ingress"),
    service("delivery", false, [full]),
    service("bounce", false, [full, "another"]),
  ];
  const health = await checkReadiness({ redis: without({ set }), memoryInfo, spool, services });
  assert.deepEqual(health.reasons, [full, "bounce on h1 is not ready: another"]);
});

test("a dependency that hangs or throws is a reason within a second", async () => {
  const startedAt = performance.now();
  const checkWritable = async () => {
    throw new Error("read-only file system");
  };
  const health = await checkReadiness({
    redis: without({ set: never }),
    memoryInfo: never,
    spool: { checkWritable },
    services: never,
  });
  assert.ok(performance.now() - startedAt < 30_000);
  assert.deepEqual(health.reasons, [
    "Redis is out of reach: no answer within 800 ms",
    "the spool cannot be used, and no mail is accepted: read-only file system",
  ]);
});

test("what a service warns of is shown, and does not make the gateway unready", async () => {
  const warnings = ["the spool cannot read segments/x.seg (EIO); everything else is read"];
  const all = ["ingress", "delivery", "bounce"].map((name) => service(name));
  const warned = async () => [
    ...all,
    { ...service("delivery"), warnings },
    { ...service("delivery"), warnings },
  ];
  assert.deepEqual(await checkReadiness({ redis, memoryInfo, spool, services: warned }), {
    ready: true,
    reasons: [],
    warnings: [`delivery on h1: ${warnings[0]}`],
  });
});
