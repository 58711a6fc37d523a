/** What else the command line can do, done on the dashboard: probe, import, reload, a destination explained. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import { ConnectionPublisher, type PhaseCounts } from "../../shared/limits/connection-phases.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { TrafficPublisher } from "../../shared/runtime/traffic.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard, toastOf } from "./dashboard.ts";
import { type EventWriter, writeEvents } from "./page-events.ts";

const quiet = createLogger("test", { write() {} });

describe("nothing needs the command line", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;
  let events: EventWriter;

  before(async () => {
    admin = await startTestAdmin({
      protected: [{ domains: ["one.example"], servers: ["127.0.0.1:1"] }],
      delivery: { loopback: "allow" },
      limits: { destinations: [{ match: "two.example", connections: 7, rate: "30/1m" }] },
    });
    events = writeEvents(admin);
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await events?.close();
    await admin?.close();
  });

  test("a probe shows each step, and that no server answers", async () => {
    await dashboard.inTab("probe", async (page) => {
      await page.getByLabel("Recipient").fill("ann@one.example");
      await page.keyboard.press("Enter");
      await page.locator(".banner").getByText("unreachable").waitFor();
      const row = page.getByRole("row", { name: /connect/ });
      await row.getByText("127.0.0.1").first().waitFor();
    });
  });

  test("an exported message is imported with its envelope, an mbox message by message, and each once", async () => {
    const exported = Buffer.from(
      "X-Postern-Id: 1M8TEST\r\nX-Postern-From: <ann@office.example>\r\nX-Postern-To: <bob@one.example>\r\nSubject: again\r\n\r\nHello\r\n",
    );
    const mbox = Buffer.from(
      "From ann@office.example Mon\nSubject: 1\n\na\n\nFrom MAILER-DAEMON Mon\nSubject: 2\n\nb\n\nFrom bea@office.example Mon\nSubject: 3\n\nc\n",
    );
    await dashboard.inTab("queue", async (page, open) => {
      const send = async (name: string, buffer: Buffer, fields: Record<string, string>, counted: string) => {
        await page.getByRole("button", { name: "Import", exact: true }).click();
        const file = { name, mimeType: "application/octet-stream", buffer };
        await page.getByRole("dialog").locator("input[type=file]").setInputFiles(file);
        await answer(page, "Count the messages", fields);
        await page.getByRole("dialog").getByText(counted, { exact: true }).waitFor();
      };
      await send("again.eml", exported, {}, "1 message");
      await answer(page, "Import 1 message", { "Reason, for the log": "from the other site" });
      await toastOf(page, "1 message is imported");
      await page.getByText("ann@office.example").first().waitFor();
      await send("again.eml", exported, {}, "1 message");
      await answer(page, "Import 1 message");
      await toastOf(page, "0 messages are imported, 1 left as they are");

      await send("mail.mbox", mbox, { "Recipients, separated by commas": "cy@mbox.example" }, "2 messages");
      await page.getByText("mail.mbox, message 2 does not say who sent it: give the sender").waitFor();
      await answer(page, "Import 2 messages");
      await toastOf(page, "2 messages are imported, 1 left as they are");
      await open("tasks");
      const row = page.getByRole("row", { name: /again\.eml/ }).filter({ hasText: "from the other site" });
      await row.getByText("1 changed").waitFor();
      await page
        .getByRole("row", { name: /mail\.mbox/ })
        .getByText("2 changed")
        .waitFor();
    });
    const { messages } = (await (await admin.get("/api/v1/messages?to=*@mbox.example")).json()) as {
      messages: { from: string; to: string[] }[];
    };
    const senders = messages.map(({ from }) => from).sort();
    assert.deepEqual(senders, ["ann@office.example", "bea@office.example"]);
  });

  test("the configuration is shown without secrets, and read again by a button", async () => {
    // It runs no gateway: as one of a version that knows no reload.
    await admin.announce("ingress");
    await waitFor("its announcement", async () =>
      /ingress/.test(await (await admin.get("/api/v1/services")).text()),
    );
    await dashboard.inTab("configuration", async (page) => {
      await page.getByRole("region", { name: "limits" }).getByText("two.example").waitFor();
      assert.equal(await page.getByText("test-token-of-the-admin").count(), 0);
      await page.getByRole("button", { name: "Reload" }).click();
      await answer(page, "Reload");
      await page.getByText("Not all processes have taken it").waitFor();
      await page.getByText(/ingress on .*: old-version/).waitFor();
    });
  });

  test("a destination says which limits it has, and why its mail waits", async () => {
    await admin.accept({ to: [["x@two.example"]] });
    await admin.defer("mailbox full", { status: "4.2.2" });
    await dashboard.inTab("destinations/two.example", async (page) => {
      await page.getByText("0 of 7").waitFor();
      await page.getByText("30/60s").waitFor();
      await page.getByRole("link", { name: /4\.2\.2 mailbox full/ }).click();
      await page.getByText("x@two.example").first().waitFor();
    });
  });

  test("a destination says what its connections do, which hosts do not answer, and the last replies", async () => {
    const redis = createRedis({ url: admin.redis.url }, "plain", quiet);
    const limiter = createClusterLimiter({
      redis: { url: admin.redis.url },
      log: quiet,
      deadDestinations: { firstMs: 60_000, maxMs: 60_000 },
    });
    const name = "busy.example";
    const phases = new Map<string, PhaseCounts>([[name, { transaction: 2, tls: 1, waiting: 4 }]]);
    const publisher = new ConnectionPublisher({ redis, process: "gw2 4711 x", connections: () => phases });
    try {
      await redis.ping();
      await publisher.publish(0);
      const diagnosis = {
        status: "4.4.1",
        class: "connect",
        reason: "connection refused",
        atMs: Date.now(),
      } as const;
      limiter.reportNoAnswer(name, `${name}:2525`, diagnosis, Date.now() - 120_000);
      events.write({
        event: "delivery.delivered",
        id: "0XBUSY",
        to: "z@busy.example",
        remote: "mx.busy.example[192.0.2.9]:25",
        reply: "250 2.0.0 taken",
      });
      await waitFor("its facts", async () => {
        const facts = await (await admin.get(`/api/v1/destinations/${name}`)).text();
        return facts.includes("connection refused") && facts.includes("0XBUSY") && facts.includes('"tls":1');
      });
      await dashboard.inTab("destinations", async (page, open) => {
        const row = page.getByRole("region", { name: "Destinations now" }).getByRole("row", { name: /busy/ });
        for (const part of ["2 sending", "1 in TLS handshake", "4 waiting for one", "for 2m"])
          await row.getByText(part).waitFor();
        await open(`destinations/${name}`);
        const now = page.getByRole("region", { name: "Connections now" });
        await now.getByText("2 sending").waitFor();
        const dead = page.getByRole("region", { name: "Hosts that do not answer" });
        await dead.getByText("connection refused").waitFor();
        const last = page.getByRole("region", { name: "The last mail that it took" });
        await last.getByText("250 2.0.0 taken").waitFor();
      });
    } finally {
      publisher.close();
      await limiter.close();
      redis.disconnect();
    }
  });

  test("the overview has sessions by row of the routing table, opaque ones among them", async () => {
    const metrics = createMetrics("ingress");
    const connections = metrics.counter("connections_total", "connections", ["listener", "row", "handler"]);
    connections.with("transparent", "client-server", "outgoing-proxy").add(120);
    metrics.counter("proxy_not_inspected_total", "opaque", ["reason"]).with("starttls").add(60);
    const redis = createRedis({ url: admin.redis.url }, "plain", quiet);
    try {
      await redis.ping();
      // Of ten seconds that are over.
      await new TrafficPublisher(metrics).publish(redis, Date.now() - 15_000);
      await dashboard.inTab("overview", async (page) => {
        const table = page.getByRole("region", { name: "Sessions per minute" });
        await table
          .getByRole("row", { name: /client-server/ })
          .getByText("120")
          .waitFor();
        await table
          .getByRole("row", { name: /of them opaque/ })
          .getByText("60")
          .waitFor();
      });
    } finally {
      redis.disconnect();
    }
  });

  test("a timeline says which TLS was wanted, and which it became", async () => {
    const { meta } = await admin.accept({ to: [["y@two.example"]] });
    events.write({
      event: "delivery.delivered",
      id: meta.id,
      attempt: 1,
      to: "y@two.example",
      remote: "mx.two.example[192.0.2.9]:25",
      reply: "250 2.0.0 (queued)",
      tls: { policy: "dane", protocol: "TLSv1.3", verified: true },
      ms: 41,
    });
    await dashboard.inTab(`message/${meta.id}`, async (page) => {
      const line = page.locator(".timeline li").filter({ hasText: "delivered" });
      for (const part of ["250 2.0.0 (queued)", "TLS wanted: dane", "got: TLSv1.3, verified", "41 ms"])
        await line.getByText(part).first().waitFor();
      const row = page.getByRole("region", { name: "Table of attempts" }).getByRole("row", { name: /y@two/ });
      await row.getByText("mx.two.example[192.0.2.9]:25").waitFor();
    });
  });
});
