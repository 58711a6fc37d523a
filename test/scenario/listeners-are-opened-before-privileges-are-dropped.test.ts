/** Sockets that systemd opens (socket activation), and those that root opens before it becomes a user (`--user`). */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { boundSocket, describeSocket } from "../../shared/runtime/socket.ts";
import { freePort } from "../support/free-port.ts";
import { unlessRoot } from "../support/programs.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));
const skip = process.platform !== "linux" && "needs Linux";

interface Started {
  child: ChildProcess;
  output(): string;
  ended: Promise<number | null>;
}

/** @param socket  is handed over as systemd does it: descriptor 3, with the process's own id in the environment */
async function up(
  t: TestContext,
  listener: { address: string; port: number },
  { socket, words = [], config = {} }: { socket?: number; words?: string[]; config?: object },
): Promise<Started & { file: string; adminPort: number }> {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-test-"));
  // Another user has to come in.
  chmodSync(directory, 0o755);
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, "postern.yaml");
  const adminPort = await freePort();
  const listeners = [{ name: "mx", ...listener, destination: "self" }];
  writeFileSync(
    file,
    stringify({ hostname: "gw.example.net", listeners, admin: { port: adminPort }, ...config }),
  );
  const descriptors = socket === undefined ? [] : [socket];
  const activation = socket === undefined ? "" : "LISTEN_FDS=1 LISTEN_PID=$$";
  const child = spawn(
    "sh",
    ["-c", `${activation} exec "$0" "$@"`, program, "up", "-c", file, "--log", "json", ...words],
    { stdio: ["ignore", "pipe", "pipe", ...descriptors], cwd: directory },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      output += chunk;
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  t.after(async () => {
    child.kill("SIGTERM");
    await ended;
  });
  return { child, output: () => output, ended, file, adminPort };
}

async function ready({ child, output, adminPort }: Awaited<ReturnType<typeof up>>): Promise<void> {
  await waitFor(
    "the gateway to be ready",
    async () => {
      assert.equal(child.exitCode, null, output());
      const answer = await fetch(`http://127.0.0.1:${adminPort}/health`).catch(() => undefined);
      return answer?.ok === true && output().includes('"listening: mx smtp');
    },
    60_000,
  );
}

async function greeting(address: string, port: number): Promise<string> {
  const client = await SmtpClient.connect(port, address);
  const text = await client.reply();
  client.close();
  return text;
}

/** The processes of the gateway, by the service that they run. */
function processes(file: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      const service = words.find((word) => ["up", "ingress", "delivery", "bounce", "admin"].includes(word));
      if (service !== undefined && words.includes(file)) found.set(service, Number(name));
    } catch {
      // It has ended.
    }
  }
  return found;
}

test("the ingress accepts on the socket of systemd; clients wait while it is restarted", {
  skip,
}, async (t) => {
  const socket = boundSocket("127.0.0.1", 0);
  t.after(() => closeSync(socket));
  const port = describeSocket(socket)?.port ?? 0;
  const gateway = await up(t, { address: "127.0.0.1", port }, { socket });
  await ready(gateway);
  assert.match(await greeting("127.0.0.1", port), /^220 gw\.example\.net /);

  process.kill(processes(gateway.file).get("ingress") ?? Number.NaN, "SIGKILL");
  await waitFor("the ingress to end", () => gateway.output().includes("ingress exited; restarting it"));
  assert.match(await greeting("127.0.0.1", port), /^220 gw\.example\.net /);
});

test("a socket that is no listener's is a sentence, and nothing starts", { skip }, async (t) => {
  const socket = boundSocket("127.0.0.1", 0);
  t.after(() => closeSync(socket));
  const port = describeSocket(socket)?.port ?? 0;
  const gateway = await up(t, { address: "127.0.0.1", port: await freePort() }, { socket });
  assert.equal(await gateway.ended, 1);
  assert.ok(
    gateway
      .output()
      .includes(`postern: a socket for 127.0.0.1:${port} was handed over, and no listener has this`),
    gateway.output(),
  );
});

/** Of every thread, in hexadecimal: without leading zeros. */
function capabilities(pid: number): { uids: Set<string>; effective: Set<string> } {
  const status = readdirSync(`/proc/${pid}/task`).map((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"),
  );
  const all = (pattern: RegExp) => new Set(status.map((text) => pattern.exec(text)?.[1] ?? ""));
  return { uids: all(/^Uid:\t(.*)$/m), effective: all(/^CapEff:\t0*(\w+)$/m) };
}

const asNobody = ["--user", "nobody"];
const uid = "65534\t65534\t65534\t65534";
const netAdmin = "1000";

test("root opens port 25 and becomes another user, without any capability", {
  skip: skip || unlessRoot(),
}, async (t) => {
  const address = "127.77.0.1";
  const gateway = await up(t, { address, port: 25 }, { words: asNobody });
  await ready(gateway);
  assert.match(await greeting(address, 25), /^220 gw\.example\.net /);
  const running = processes(gateway.file);
  assert.deepEqual([...running.keys()].sort(), ["admin", "bounce", "delivery", "ingress", "up"]);
  for (const [service, pid] of running)
    assert.deepEqual(capabilities(pid), { uids: new Set([uid]), effective: new Set(["0"]) }, service);
  for (const pid of running.values())
    assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /^Max core file size +0 +0 /m);
});

test("where servers see the client's address, two services keep the one capability for that", {
  skip: skip || unlessRoot(),
}, async (t) => {
  const config = { outgoing: { hide: true } };
  const gateway = await up(t, { address: "127.77.0.2", port: 25 }, { words: asNobody, config });
  await ready(gateway);
  for (const [service, pid] of processes(gateway.file)) {
    const { uids, effective } = capabilities(pid);
    assert.deepEqual(uids, new Set([uid]), service);
    const expected = { ingress: [netAdmin], delivery: [netAdmin], up: ["0", netAdmin] }[service] ?? ["0"];
    assert.deepEqual([...effective].sort(), expected, service);
  }
});

test("a user that does not exist, or root itself, is a sentence", {
  skip: skip || unlessRoot(),
}, async (t) => {
  for (const [user, reason] of [
    ["nobody-of-this-name", "--user nobody-of-this-name: there is no such user"],
    ["root", "--user root is root"],
  ] as const) {
    const gateway = await up(t, { address: "127.77.0.3", port: 25 }, { words: ["--user", user] });
    assert.equal(await gateway.ended, 1);
    assert.equal(gateway.output(), `postern: ${reason}\n`);
  }
});
