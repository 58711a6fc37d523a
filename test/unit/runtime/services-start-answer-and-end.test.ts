import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { afterEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readAnnouncements } from "../../../shared/runtime/announcement.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { createRedis } from "../../../shared/runtime/redis.ts";
import { startRedis } from "../../support/redis.ts";
import { waitFor } from "../../support/wait-for.ts";

const program = fileURLToPath(new URL("./service-process.ts", import.meta.url));
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

interface Started {
  child: ChildProcess;
  lines(): Record<string, unknown>[];
  exit: Promise<{ code: number | null; signal: string | null }>;
  /** Where it answers, without a path. */
  url(): Promise<string>;
}

function start(behaviour: string, redisUrl = ""): Started {
  const child = spawn(process.execPath, [program, behaviour, redisUrl], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  let output = "";
  child.stdout?.on("data", (chunk) => {
    output += chunk;
  });
  const lines = (): Record<string, unknown>[] =>
    output
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return {
    child,
    lines,
    exit: new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal }))),
    async url() {
      const health = await waitFor(
        "it runs",
        () => lines().find(({ health }) => health !== undefined)?.health,
      );
      return String(health).replace(/\/health$/, "");
    },
  };
}

test("a service answers /health and /metrics, and ends with 0 when asked to stop", async () => {
  const service = start("");
  const url = await service.url();
  const health = await fetch(`${url}/health`);
  assert.equal(health.status, 200);
  assert.deepEqual(await health.json(), { live: true, ready: true, reasons: [] });
  const metrics = await fetch(`${url}/metrics`);
  assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/);
  assert.match(await metrics.text(), /postern_things_total\{service="delivery"\} 5/);
  assert.equal((await fetch(`${url}/other`)).status, 404);
  assert.equal((await fetch(`${url}/health`, { method: "POST" })).status, 405);
  service.child.kill("SIGTERM");
  assert.deepEqual(await service.exit, { code: 0, signal: null });
  assert.ok(service.lines().some(({ message, graceMs }) => message === "closing" && graceMs === 200));
});

test("a service that is not ready says so with 503 and why", async () => {
  const service = start("not-ready");
  const health = await fetch(`${await service.url()}/health`);
  assert.equal(health.status, 503);
  assert.deepEqual(await health.json(), { live: true, ready: false, reasons: ["no Redis"] });
});

test("a second signal ends a service at once, and the grace time ends one that does not stop", async () => {
  const impatient = start("never-ends");
  await impatient.url();
  impatient.child.kill("SIGTERM");
  await waitFor("it is stopping", () => impatient.lines().some(({ message }) => message === "closing"));
  impatient.child.kill("SIGINT");
  assert.equal((await impatient.exit).code, 1);

  const patient = start("never-ends");
  await patient.url();
  patient.child.kill("SIGTERM");
  assert.equal((await patient.exit).code, 0);
});

test("a service that cannot start, and an uncaught error, end with 1 and a fatal line", async () => {
  for (const [behaviour, error] of [
    ["cannot-start", "the port is taken"],
    ["throws", "nobody handles this"],
  ]) {
    const service = start(behaviour ?? "");
    assert.equal((await service.exit).code, 1);
    const fatal = service.lines().find(({ level }) => level === "fatal") as { err?: { message?: string } };
    assert.equal(fatal?.err?.message, error);
  }
});

test("services announce themselves in Redis, and are gone from there when they end", async () => {
  const redis = await startRedis();
  const connection = createRedis({ url: redis.url }, "plain", createLogger("test", { write() {} }));
  try {
    const service = start("", redis.url);
    const url = await service.url();
    const [announced] = await waitFor("it is announced", async () => {
      const all = await readAnnouncements(connection);
      return all.length > 0 ? all : undefined;
    });
    assert.equal(announced?.name, "delivery");
    assert.equal(announced?.pid, service.child.pid);
    assert.equal(announced?.url, url);
    assert.equal(announced?.ready, true);
    service.child.kill("SIGTERM");
    await service.exit;
    assert.deepEqual(await readAnnouncements(connection), []);
  } finally {
    connection.disconnect();
    await redis.close();
  }
});
