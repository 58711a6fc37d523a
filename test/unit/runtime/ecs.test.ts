import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, logEvent } from "../../../shared/runtime/log.ts";

/** The line that a logger with ECS fields writes. */
function lineOf(write: (log: ReturnType<typeof createLogger>) => void): Record<string, unknown> {
  const lines: string[] = [];
  write(createLogger("delivery", { write: (line) => lines.push(line) }, "ecs"));
  assert.equal(lines.length, 1);
  return JSON.parse(lines[0] ?? "");
}

test("the fields of a delivery have their names in ECS, the rest stands below postern", () => {
  const line = lineOf((log) =>
    logEvent(log, {
      event: "delivery.delivered",
      id: "A",
      from: "alice@example.net",
      to: "bob@example.com",
      remote: "mx.example.com[192.0.2.25]:25",
      ms: 12,
      tls: { protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", policy: "dane", peer: "mx.example.com" },
    }),
  );
  const { "@timestamp": at, process: own, ...rest } = line;
  assert.match(String(at), /^\d{4}-\d\d-\d\dT.*Z$/);
  assert.deepEqual(own, { pid: process.pid });
  assert.deepEqual(rest, {
    "log.level": "info",
    "ecs.version": "8.17.0",
    service: { name: "delivery", type: "postern" },
    event: { action: "delivery.delivered", duration: 12_000_000 },
    email: { local_id: "A", from: { address: ["alice@example.net"] }, to: { address: ["bob@example.com"] } },
    tls: {
      established: true,
      version_protocol: "tls",
      version: "1.3",
      cipher: "TLS_AES_256_GCM_SHA384",
      client: { server_name: "mx.example.com" },
    },
    postern: { remote: "mx.example.com[192.0.2.25]:25", tls: { policy: "dane" } },
  });
});

test("accepted mail names its client and its Message-ID", () => {
  const line = lineOf((log) =>
    logEvent(log, { event: "message.accepted", client: "192.0.2.7", clientPort: 4711, messageId: "<1@x>" }),
  );
  assert.deepEqual(line.source, { ip: "192.0.2.7", port: 4711 });
  assert.deepEqual(line.email, { message_id: "<1@x>" });
});

test("an error has its message, its type and its stack", () => {
  const error = Object.assign(new Error("no such file"), { code: "ENOENT" });
  const line = lineOf((log) => log.error({ err: error }, "cannot read"));
  assert.equal(line.message, "cannot read");
  const { stack_trace, ...rest } = line.error as Record<string, unknown>;
  assert.deepEqual(rest, { type: "Error", message: "no such file", code: "ENOENT" });
  assert.match(String(stack_trace), /ecs\.test/);
});
