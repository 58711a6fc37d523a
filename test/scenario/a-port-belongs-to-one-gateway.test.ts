import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { freePort } from "../support/free-port.ts";
import { startGateway } from "../support/gateway.ts";
import { startTestIngress } from "../support/ingress.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

/** `postern up` with a data directory of its own, until it ends. */
async function up(t: TestContext, port: number): Promise<{ code: unknown; stderr: string }> {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = path.join(directory, "postern.yaml");
  const listeners = [{ name: "submission", address: "127.0.0.1", port, destination: "self" }];
  writeFileSync(file, stringify({ hostname: "two.example.net", listeners, admin: { port: 0 } }));
  return new Promise((resolve) => {
    const child = execFile(program, ["up", "-c", file], (error, _stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stderr }),
    );
    t.after(() => child.kill("SIGTERM"));
  });
}

const isTaken = (port: number) =>
  `postern: listener submission cannot listen on 127.0.0.1:${port}: the port is taken by another program\n`;

test("a second gateway does not start on the port of the first, and takes none of its mail", async (t) => {
  const first = await startGateway();
  t.after(() => first.stop());
  assert.deepEqual(await up(t, first.port), { code: 1, stderr: isTaken(first.port) });
  for (let i = 0; i < 20; i++) {
    const client = await SmtpClient.connect(first.port);
    assert.match(await client.reply(), /^220 gw\.example\.net /);
    client.close();
  }
});

test("a gateway does not share its port with a program that would let it", async (t) => {
  const port = await freePort();
  const script = `require("node:net").createServer().listen({ host: "127.0.0.1", port: ${port}, reusePort: true }, () => console.log("listening"))`;
  const other = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => other.kill("SIGKILL"));
  let output = "";
  other.stdout.on("data", (chunk) => {
    output += chunk;
  });
  await waitFor("the other program to listen", () => output !== "");
  assert.deepEqual(await up(t, port), { code: 1, stderr: isTaken(port) });
});

test("the ingress processes of one gateway share its port; another gateway has it when they have ended", async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), "ports-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const start = async (gateway: string, address = "127.0.0.1") => {
    const data = path.join(directory, gateway);
    mkdirSync(data, { recursive: true });
    const ingress = await startTestIngress({
      data,
      listeners: [{ name: "submission", address, port, destination: "self" }],
    });
    t.after(() => ingress.close(0));
    return ingress;
  };
  const port = await freePort();
  const taken = new RegExp(`cannot listen on \\S+:${port}: the port is taken by another program$`);
  // All at once: one finds the port free, and the other knows it for its own gateway's.
  const [one, two] = await Promise.all([start("one"), start("one")]);
  await assert.rejects(start("two"), taken);
  await assert.rejects(start("two", "0.0.0.0"), taken);
  await assert.rejects(start("two", "::"), taken);
  await one.close(0);
  await assert.rejects(start("two"), taken);
  await two.close(0);
  const other = await start("two");
  await assert.rejects(start("one"), taken);
  assert.deepEqual(await other.health(), { ready: true, reasons: [] });
});

test("of gateways that start at the same moment one has the port", async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), "ports-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const port = await freePort();
  const started = await Promise.allSettled(
    ["a", "b", "c", "d"].map((gateway) =>
      startTestIngress({
        data: path.join(directory, gateway),
        listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self" }],
      }),
    ),
  );
  const running = started.filter((result) => result.status === "fulfilled");
  t.after(() => Promise.all(running.map(({ value }) => value.close(0))));
  assert.equal(running.length, 1);
});
