import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { after, before, test } from "node:test";
import { startHealthServer } from "../../shared/runtime/health-server.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;
before(async () => {
  admin = await startTestAdmin();
});
after(() => admin.close());

const scrape = async () => {
  const answer = await admin.get("/metrics");
  assert.equal(answer.status, 200);
  return answer.text();
};

test("one scrape has the metrics of all services; those that are dead, hang or talk without end are left out", async () => {
  const metrics = createMetrics("delivery");
  metrics.counter("deliveries_total", "Deliveries.").with().add(7);
  const delivery = await startHealthServer(
    { address: "127.0.0.1", port: 0 },
    () => ({ ready: true, reasons: [] }),
    metrics,
  );
  const silent = http.createServer(() => {});
  const endless = http.createServer((request, response) => {
    if (request.url !== "/metrics") return response.end("{}");
    const line = `# ${"1".repeat(60_000)}\n`;
    const write = () => {
      while (!response.destroyed && response.write(line));
    };
    response.on("drain", write);
    write();
    return undefined;
  });
  for (const server of [silent, endless]) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  }
  const portOf = (server: http.Server) => (server.address() as AddressInfo).port;
  const urlOf = (server: http.Server) => `http://127.0.0.1:${portOf(server)}`;
  const fine = { ready: true, reasons: [] };
  try {
    await admin.announce("delivery", fine, delivery.url);
    await admin.announce("bounce", fine, urlOf(silent));
    await admin.announce("ingress", fine, urlOf(endless));
    await admin.announce("ingress", fine, "http://127.0.0.1:1");
    const here = hostname();
    const text = await waitFor("all to be known", async () => {
      const page = await scrape();
      return page.match(/^postern_scrape_up\{/gm)?.length === 4 ? page : undefined;
    });
    const has = (line: string) => assert.ok(text.split("\n").includes(line), line);
    has(`postern_deliveries_total{service="delivery",instance="${here}:${delivery.port}"} 7`);
    has(`postern_scrape_up{name="delivery",instance="${here}:${delivery.port}",service="admin"} 1`);
    has(`postern_scrape_up{name="bounce",instance="${here}:${portOf(silent)}",service="admin"} 0`);
    has(`postern_scrape_up{name="ingress",instance="${here}:${portOf(endless)}",service="admin"} 0`);
    has(`postern_scrape_up{name="ingress",instance="${here}:1",service="admin"} 0`);
    has("# TYPE process_cpu_seconds_total counter");
    assert.match(text, /^process_cpu_seconds_total\{service="admin"\} /m);
    assert.match(text, /^process_cpu_seconds_total\{service="delivery",instance="/m);
    assert.equal(text.match(/^# TYPE process_cpu_seconds_total /gm)?.length, 1);
    assert.ok(text.length < 1_000_000, `${text.length}`);
  } finally {
    silent.closeAllConnections();
    endless.closeAllConnections();
    await Promise.all([silent, endless].map((server) => new Promise((done) => server.close(done))));
    await delivery.close();
  }
});

test("without Redis the admin serves its own metrics", async () => {
  await admin.redis.stop();
  const text = await scrape();
  assert.match(text, /^postern_redis_up\{service="admin"\} 0$/m);
});
