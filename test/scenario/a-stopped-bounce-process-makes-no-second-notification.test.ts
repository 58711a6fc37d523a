/** Two bounce processes; one is stopped (SIGSTOP, a suspended machine) in the middle of a notification, and goes on later. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const bounceProcess = fileURLToPath(new URL("../support/bounce-process.ts", import.meta.url));

for (const { place, name, says } of [
  { place: "read", name: "while it reads the message", says: "goes on" },
  { place: "commit", name: "right before it stores the notification", says: "dsn.made" },
]) {
  test(`the sender hears of a failure once when a bounce process is stopped ${name}`, async (t) => {
    const remote = await startSmtpPeer({ script: { rcpt: () => "550 5.1.1 no such user" } });
    const home = await startSmtpPeer();
    t.after(() => Promise.all([remote.stop(), home.stop()]));
    const given = {
      dsn: { wave: "100ms" },
      relay: {
        routes: [
          { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
          { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
        ],
      },
    };
    const flow = await createMailFlow(t, given);
    const config = { ...given, redis: { url: flow.redis.url }, data: flow.config.data };
    const child = fork(bounceProcess, [JSON.stringify(config), place], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    t.after(() => child.kill("SIGKILL"));
    let output = "";
    child.stdout?.on("data", (chunk) => {
      output += chunk;
    });
    await flow.startDelivery();
    const { meta } = await flow.accept({ to: ["bob@example.com"] });
    await waitFor("it is stopped", () =>
      /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, "utf8")),
    );

    await flow.startBounce({
      workerTiming: { lockMs: 20_000, stalledCheckMs: 200, epochCheckMs: 200, reclaimMs: 200 },
    });
    await waitFor("the other one makes the notification", () => home.received.length === 1);
    child.kill("SIGCONT");
    await waitFor("it goes on", () => output.includes(says));
    const ended = once(child, "exit");
    child.disconnect();
    assert.deepEqual(await ended, [0, null], "it has finished what it had begun");
    const isSettled = async () => {
      for await (const _ of flow.spool.unsettled()) return false;
      return true;
    };
    await waitFor("all mail is settled", isSettled);
    await waitFor("no job is left", async () => {
      const sizes = ["LLEN {postern}:delivery:wait", "LLEN {postern}:delivery:active"];
      const replies = await Promise.all(
        [...sizes, "ZCARD {postern}:delivery:delayed"].map((command) => flow.redis.command(command)),
      );
      return replies.every((reply) => reply === ":0\r\n");
    });
    assert.equal(home.received.length, 1);
    assert.deepEqual(await flow.kinds(meta.id), ["bounced"]);
  });
}
