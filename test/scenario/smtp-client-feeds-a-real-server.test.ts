import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import net from "node:net";
import { test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { outcomes, summary, testMessage, testTransport, via } from "../support/smtp-client-fixture.ts";
import { waitFor } from "../support/wait-for.ts";

const smtpSink = ["/usr/sbin/smtp-sink", "/usr/bin/smtp-sink"].find((path) => existsSync(path));

async function answers(port: number): Promise<boolean> {
  const socket = net.connect({ port, host: "127.0.0.1" });
  return new Promise((resolve) => {
    socket.once("data", () => resolve(true)).once("error", () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

test("Postfix's smtp-sink takes 500 messages over twenty connections", {
  skip: smtpSink === undefined && "smtp-sink is not installed",
}, async () => {
  const port = await freePort();
  const owner = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const sink = spawn(smtpSink ?? "", [...owner, "-c", `127.0.0.1:${port}`, "100"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let counted = "";
  sink.stdout.on("data", (chunk) => {
    counted += chunk;
  });
  const transport = testTransport();
  try {
    await waitFor("smtp-sink listens", () => answers(port));
    let left = 500;
    const priorityClass = async () => {
      while (left-- > 0) {
        const content = `Subject: ${left}\r\n\r\n.dots\r\n${"x".repeat(4000)}\r\n`;
        const message = testMessage({ to: ["a@x.test", "b@x.test"], content });
        const found = await outcomes(transport, via({ address: "127.0.0.1", port }), message);
        assert.deepEqual(found.map(summary), ["delivered", "delivered"]);
      }
    };
    await Promise.all(Array.from({ length: 20 }, priorityClass));
    await waitFor("smtp-sink has counted them", () => counted.includes("500"));
  } finally {
    await transport.close(1000);
    sink.kill();
  }
});
