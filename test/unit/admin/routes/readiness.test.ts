import assert from "node:assert/strict";
import { test } from "node:test";
import { checkReadiness, missingServices } from "../../../../services/admin/routes/readiness.ts";
import type { ServiceRow } from "../../../../services/admin/routes/schemas.ts";

function service(name: string, ready = true, reasons: string[] = []): ServiceRow {
  return { name, host: "h1", pid: 1, startedAt: new Date().toISOString(), url: null, ready, reasons };
}
const all = ["ingress", "delivery", "bounce"].map((name) => service(name));
const redis = { ping: async () => "PONG" as const };
const spool = async () => ({ bytesUsed: 1, bytesFree: 1, segments: 1 });

test("ready when Redis and spool answer and one instance of each service is ready", async () => {
  const services = async () => [...all, service("delivery", false, ["starting"])];
  assert.deepEqual(await checkReadiness(redis, spool, services), { ready: true, reasons: [] });
});

test("each reason has a line of its own", async () => {
  const full = async () => ({ bytesUsed: 1, bytesFree: 0, segments: 1 });
  const health = await checkReadiness(redis, full, async () => [service("ingress", false, ["no listener"])]);
  assert.equal(health.ready, false);
  assert.deepEqual(health.reasons, [
    "the spool is full",
    "ingress on h1 is not ready: no listener",
    "delivery: no instance has announced itself",
    "bounce: no instance has announced itself",
  ]);
  assert.deepEqual(missingServices(all), []);
});

test("a dependency that hangs or throws is a reason within a second", async () => {
  const never = () => new Promise<never>(() => {});
  const startedAt = performance.now();
  const health = await checkReadiness(
    { ping: never },
    async () => {
      throw new Error("read-only file system");
    },
    never,
  );
  assert.ok(performance.now() - startedAt < 1500);
  assert.deepEqual(health.reasons, [
    "Redis is out of reach: no answer within 800 ms",
    "the spool cannot be used: read-only file system",
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
  assert.deepEqual(await checkReadiness(redis, spool, warned), {
    ready: true,
    reasons: [],
    warnings: [`delivery on h1: ${warnings[0]}`],
  });
});
