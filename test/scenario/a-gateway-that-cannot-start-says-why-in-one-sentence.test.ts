import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../../services/cli/main.ts", import.meta.url));

interface Up {
  directory: string;
  /** Its standard output: the log. */
  log(): string;
  signal(signal: NodeJS.Signals): void;
  ended: Promise<{ code: number | null; stderr: string }>;
}

/** `postern up` in a directory of its own. */
function startUp(t: TestContext, given: Record<string, unknown>, pathOfPrograms?: string): Up {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-test-"));
  const file = path.join(directory, "postern.yaml");
  writeFileSync(path.join(directory, "file"), "");
  const listeners = [{ name: "submission", address: "127.0.0.1", port: 0 }];
  writeFileSync(file, stringify({ hostname: "gw.example.net", listeners, admin: { port: 0 }, ...given }));
  const child = spawn(process.execPath, [program, "up", "-c", file, "--log", "json"], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(pathOfPrograms === undefined ? {} : { env: { ...process.env, PATH: pathOfPrograms } }),
  });
  t.after(() => {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return {
    directory,
    log: () => stdout,
    signal: (signal) => child.kill(signal),
    ended: new Promise((resolve) => child.once("close", (code) => resolve({ code, stderr }))),
  };
}

/** Processes that have the directory in their command line. */
function processesIn(directory: string): string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, "latin1").includes(directory);
    } catch {
      return false;
    }
  });
}

function programsWithRedis(t: TestContext, script: string | undefined): string {
  const directory = mkdtempSync(path.join(tmpdir(), "programs-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  if (script !== undefined) {
    const file = path.join(directory, "redis-server");
    writeFileSync(file, script);
    chmodSync(file, 0o755);
  }
  return directory;
}

const ours = new Set(
  Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address)),
);
/** For documentation: a container network on this machine may use one of them all the same. */
const foreign = Array.from({ length: 250 }, (_, n) => `192.0.2.${250 - n}`).find((each) => !ours.has(each));
const notHere = "this machine does not have that address";
const cases: Record<
  string,
  { given: Record<string, unknown>; says: (directory: string) => string; redisServer?: string | null }
> = {
  "data that is a file": {
    given: { data: "./file" },
    says: (directory) => `the data directory ${directory}/file cannot be used: it is a file`,
  },
  "data below a file": {
    given: { data: "./file/data" },
    says: (directory) =>
      `the data directory ${directory}/file/data cannot be used: a part of its path is a file`,
  },
  "a listener on an address that is not ours": {
    given: { listeners: [{ name: "in", address: foreign, port: 2525 }] },
    says: () => `listener in cannot listen on ${foreign}:2525: ${notHere}`,
  },
  "an admin on an address that is not ours": {
    given: { admin: { address: foreign, port: 8025 } },
    says: () => `admin cannot listen on ${foreign}:8025: ${notHere}`,
  },
  "a health address that is not ours": {
    given: { health: { address: foreign } },
    says: () => `health cannot listen on ${foreign}:0: ${notHere}`,
  },
  "no redis-server": {
    given: {},
    redisServer: null,
    says: () => "redis-server is not installed: install Debian's package redis-server, or set redis.url",
  },
  "a redis-server that ends at once": {
    given: {},
    redisServer: "#!/bin/sh\necho '7:M 24 Nov 2026 03:45:33.123 # No space left on device'\nexit 1\n",
    says: () => "redis-server ended with status 1: No space left on device",
  },
};

for (const [what, { given, says, redisServer }] of Object.entries(cases)) {
  test(`${what}: postern up gives up with one sentence, and leaves no process behind`, async (t) => {
    const programs =
      redisServer === undefined
        ? undefined
        : programsWithRedis(t, redisServer === null ? undefined : redisServer);
    const up = startUp(t, given, programs);
    assert.deepEqual(await up.ended, { code: 1, stderr: `postern: ${says(up.directory)}\n` });
    assert.doesNotMatch(up.log(), /"stack"/);
    await waitFor("its processes to be gone", () => processesIn(up.directory).length === 0);
  });
}

test("an admin port that is taken ends postern up, not only the admin", async (t) => {
  const other = net.createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  t.after(() => other.close());
  const { port } = other.address() as net.AddressInfo;
  const up = startUp(t, { admin: { port } });
  assert.deepEqual(await up.ended, {
    code: 1,
    stderr: `postern: admin cannot listen on 127.0.0.1:${port}: the port is taken by another program\n`,
  });
});

test("SIGHUP does not end postern up, and Ctrl-C does while Redis has a name that does not resolve", async (t) => {
  const up = startUp(t, { redis: { url: "redis://redis.invalid:6379/0" } });
  const outages = () => up.log().match(/Redis is out of reach/g)?.length ?? 0;
  // Without a name server, a name takes its time not to resolve.
  await waitFor(
    "every service to run and to miss Redis",
    () => /listening: admin/.test(up.log()) && outages() >= 4,
    60_000,
  );
  up.signal("SIGHUP");
  await waitFor("the answer to SIGHUP", () =>
    /SIGHUP: the services read the configuration again/.test(up.log()),
  );
  up.signal("SIGINT");
  assert.deepEqual(await up.ended, { code: 0, stderr: "" });
  // None had to be ended by the grace time.
  assert.doesNotMatch(up.log(), /grace time/);
  assert.equal(outages(), 4, "one line of each service");
  assert.doesNotMatch(up.log(), /"stack"/);
});
