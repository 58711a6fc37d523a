/** `tracing`: one trace from the client's session over the queue to each attempt, and to the notification of a failure. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { createTracing } from "../../shared/runtime/tracing.ts";
import { createTracingMetrics } from "../../shared/runtime/tracing-metrics.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startTestIngress } from "../support/ingress.ts";
import { type CollectedSpan, type OtlpCollector, startOtlpCollector } from "../support/otlp-collector.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let collector: OtlpCollector;
before(async () => {
  collector = await startOtlpCollector();
});
after(() => collector.close());

const children = (spans: CollectedSpan[], parent: CollectedSpan | undefined) =>
  spans.filter(({ parentSpanId }) => parentSpanId === parent?.spanId);

test("a delivered and a rejected recipient are in one trace, over all services, without an address of mail", async () => {
  let gateway: Gateway | undefined;
  let peer: SmtpPeer | undefined;
  try {
    peer = await startSmtpPeer({
      script: { rcpt: (address) => (address.startsWith("gone@") ? "550 5.1.1 no such user" : undefined) },
    });
    gateway = await startGateway({
      tracing: { otlp: collector.url, sample: 1 },
      relay: { clients: ["127.0.0.0/8"], routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
      dsn: { wave: 0 },
    });
    const client = await SmtpClient.connect(gateway.port);
    await client.reply();
    for (const line of [
      "EHLO client.example.net",
      "MAIL FROM:<secret-sender@example.net>",
      "RCPT TO:<b@secret.example>",
      "RCPT TO:<gone@secret.example>",
      "DATA",
      "Subject: secret\r\n\r\nsecret\r\n.",
      "QUIT",
    ])
      assert.match(await client.command(line), /^[23]/, line);

    const count = (name: string) => collector.spans.filter((span) => span.name === name).length;
    await waitFor(
      "the spans of all services",
      () =>
        count("attempt") === 2 && count("enqueue") === 2 && count("session") + count("notification") === 2,
      30_000,
    );
    const { spans } = collector;
    assert.deepEqual(new Set(spans.map(({ traceId }) => traceId)).size, 1, "one trace");
    const [session, ...otherRoots] = spans.filter(({ parentSpanId }) => parentSpanId === "");
    assert.deepEqual([session?.name, session?.service, otherRoots.length], ["session", "postern-ingress", 0]);
    const [message] = children(spans, session);
    assert.equal(message?.name, "message");
    const under = children(spans, message).map(({ name, service }) => `${service} ${name}`);
    assert.deepEqual(under.sort(), [
      "postern-bounce notification",
      "postern-delivery attempt",
      "postern-ingress enqueue",
      "postern-ingress store",
    ]);
    const attempt = children(spans, message).find(({ name }) => name === "attempt");
    assert.equal(attempt?.attributes["postern.delivered"], 1);
    assert.equal(attempt?.attributes["postern.rejected"], 1);
    assert.match(attempt?.failed ?? "", /^rejected: 5xx 5\.1\.1$/);
    const steps = children(spans, attempt).map(({ name }) => name);
    for (const step of ["dns", "connect", "greeting", "transaction"]) assert.ok(steps.includes(step), step);
    const notification = spans.find(({ name }) => name === "notification");
    const returned = children(spans, notification).map(({ name }) => name);
    assert.deepEqual(returned.sort(), ["attempt", "enqueue"]);
    for (const { name, startMs, endMs } of spans) assert.ok(endMs >= startMs && startMs > 0, name);
    assert.ok(!JSON.stringify(spans).includes("secret"), "no address");
  } finally {
    await gateway?.stop();
    await peer?.stop();
  }
});

test("a collector that fails is logged once, and counted; what is not in the sample makes no span", async () => {
  collector.fail(true);
  const metrics = createMetrics("ingress");
  const lines: Record<string, unknown>[] = [];
  let random = 0.5;
  const make = () =>
    createTracing({
      tracing: { otlp: `${collector.url}/v1/traces`, sample: 0.01 },
      service: "ingress",
      hostname: "gw.example.net",
      version: "1",
      metrics: createTracingMetrics(metrics),
      log: createLogger("ingress", { write: (line) => lines.push(JSON.parse(line)) }),
      random: () => random,
    });
  const tracing = await make();
  assert.equal(tracing.startTrace("session", Date.now(), {}), undefined);
  for (const parent of ["", "00-1-2-01", `00-${"0".repeat(32)}-${"1".repeat(16)}-01`, "x".repeat(10_000)]) {
    assert.equal(tracing.startSpan("attempt", parent, Date.now()), undefined);
  }
  random = 0.001;
  const span = tracing.startTrace("session", Date.now(), {});
  assert.match(span?.traceparent ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  span?.end(Date.now());
  await tracing.close();
  collector.fail(false);
  assert.deepEqual(
    lines.map(({ level, message }) => [level, message]),
    [["warn", "traces cannot be exported"]],
  );
  assert.match(await metrics.text(), /trace_spans_total\{result="failed",service="ingress"\} 1/);
});

test("a session of the outgoing proxy is traced with its connection and transactions", async () => {
  const metrics = createMetrics("ingress");
  const tracing = await createTracing({
    tracing: { otlp: collector.url, sample: 1 },
    service: "proxy",
    hostname: "gw.example.net",
    version: "1",
    metrics: createTracingMetrics(metrics),
    log: createLogger("ingress", { write() {} }),
  });
  const peer = await startSmtpPeer({ address: "127.0.0.2" });
  const ingress = await startTestIngress({}, { tracing });
  const client = await ingress.connect({ address: peer.address, port: peer.port });
  await client.reply();
  for (const line of [
    "EHLO c.example.net",
    "MAIL FROM:<a@example.net>",
    "RCPT TO:<b@example.com>",
    "RSET",
    "QUIT",
  ])
    await client.command(line);
  await client.untilClosed();
  await waitFor("the session to end", () => ingress.events("session.close").length === 1);
  await ingress.close(0);
  await tracing.close();
  await peer.stop();
  const spans = collector.spans.filter(({ service }) => service === "postern-proxy");
  const session = spans.find(({ name }) => name === "session");
  assert.deepEqual(
    children(spans, session).map(({ name }) => name),
    ["connect", "transaction"],
  );
  assert.equal(session?.attributes["postern.transactions"], 1);
});

test("the packages of OpenTelemetry are loaded only where traces are configured", () => {
  const source = readFileSync(new URL("../../shared/runtime/tracing.ts", import.meta.url), "utf8");
  assert.doesNotMatch(source, /^import (?!type )[^;]*@opentelemetry/m);
});
