/** The health check of docker-compose.yml, run as Docker runs it, against the services with the command of their containers. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ComposeService, programsOfImage, readCompose } from "../support/compose.ts";
import { freePort } from "../support/free-port.ts";
import { unlessInstalled } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
import { createServiceProcesses, type ServiceCommand } from "../support/service-processes.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessInstalled("redis-server");
const { services } = readCompose("docker-compose.yml");
const names = ["ingress", "delivery", "bounce", "admin"] as const;
/** Where the containers have their health files. */
const runDirectory = "/run/postern";

interface CheckResult {
  status: number;
  said: string;
}

/** Runs the health check of a service, with its files in `directory`, and without any program on PATH. */
function check(service: ServiceCommand, directory: string): Promise<CheckResult> {
  const [kind, program = "", ...words] = compose(service).healthcheck?.test ?? [];
  assert.equal(kind, "CMD");
  const file = programsOfImage().get(`/usr/local/bin/${program}`);
  assert.ok(file, `the image has ${program}`);
  const args = words.map((word) => word.replace(runDirectory, join(directory, service)));
  return new Promise((resolve) => {
    execFile("/bin/bash", [file, ...args], { env: { PATH: "/nowhere" } }, (error, stdout, stderr) => {
      assert.equal(stderr, "");
      resolve({ status: error ? Number(error.code) : 0, said: stdout });
    });
  });
}

function compose(name: string): ComposeService {
  const service = services[name];
  assert.ok(service, `docker-compose.yml has ${name}`);
  return service;
}

test("health checks know ready from not ready and from dead, and need no program but bash", {
  skip,
}, async (t) => {
  const redis = await startRedis();
  const directory = mkdtempSync(join(tmpdir(), "postern-health-"));
  const gateway = createServiceProcesses({
    listeners: [{ name: "submission", address: "127.0.0.1", port: await freePort(), destination: "self" }],
    redis: { url: redis.url },
    health: { address: "0.0.0.0", port: 0 },
    admin: { address: "0.0.0.0", port: 0, token: "a-token-that-nobody-gives-to-the-check" },
  });
  t.after(async () => {
    await gateway.close();
    await redis.close();
    rmSync(directory, { recursive: true, force: true });
  });
  for (const name of names) {
    mkdirSync(join(directory, name));
  }
  const before = await check("ingress", directory);
  assert.equal(before.status, 1);
  assert.match(before.said, /^the service has not started: /);

  const processes = await Promise.all(
    names.map((name) => {
      const [service, ...options] = [compose(name).command ?? []].flat();
      assert.equal(service, name);
      return gateway.start(name, ...options.map((word) => word.replace(runDirectory, join(directory, name))));
    }),
  );
  for (const name of names) {
    const healthy = await waitFor(
      `${name} to be healthy`,
      async () => {
        const result = await check(name, directory);
        return result.status === 0 && result;
      },
      60_000,
    );
    assert.equal(JSON.parse(healthy.said).ready, true, `${name} says so itself`);
  }

  await redis.stop();
  for (const name of ["delivery", "admin"] as const) {
    const ill = await waitFor(
      `${name} to be unhealthy without Redis`,
      async () => {
        const result = await check(name, directory);
        return result.status === 1 && result;
      },
      60_000,
    );
    assert.match(JSON.parse(ill.said).reasons.join(), /Redis/, "and to say why");
  }
  assert.equal((await check("ingress", directory)).status, 0, "mail is accepted without Redis");

  process.kill(processes[0]?.pid ?? 0, "SIGKILL");
  const dead = await waitFor("ingress to be unhealthy once it is dead", async () => {
    const result = await check("ingress", directory);
    return result.status === 1 && result;
  });
  assert.match(dead.said, /^(nothing answers at|no answer from) 127\.0\.0\.1 port \d+$/m);
});

test("a health file of another making is no reason to be healthy", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-health-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, "ingress"));
  const unused = await freePort();
  for (const text of ["", "127.0.0.1", "127.0.0.1 port", "127.0.0.1 70000", `127.0.0.1 ${unused}`, "\n\n"]) {
    writeFileSync(join(directory, "ingress", "health"), text);
    assert.equal((await check("ingress", directory)).status, 1, JSON.stringify(text));
  }
});
