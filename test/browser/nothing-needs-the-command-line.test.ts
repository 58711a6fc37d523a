/** What else the command line can do, done on the dashboard: probe, import, reload, a destination explained. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard, toastOf } from "./dashboard.ts";
import { type EventWriter, writeEvents } from "./page-events.ts";

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

  test("an exported message is imported with its envelope, once", async () => {
    const buffer = Buffer.from(
      "X-Postern-Id: 1M8TEST\r\nX-Postern-From: <ann@office.example>\r\nX-Postern-To: <bob@one.example>\r\nSubject: again\r\n\r\nHello\r\n",
    );
    const file = { name: "again.eml", mimeType: "message/rfc822", buffer };
    await dashboard.inTab("queue", async (page) => {
      const send = async (text: string): Promise<void> => {
        await page.getByRole("button", { name: "Import", exact: true }).click();
        await page.getByRole("dialog").locator("input[type=file]").setInputFiles(file);
        await answer(page, "Import");
        await toastOf(page, text);
      };
      await send("1 message imported");
      await page.getByText("ann@office.example").waitFor();
      await send("0 messages imported, 1 known already");
    });
    const { messages } = (await (await admin.get("/api/v1/messages?to=*@one.example")).json()) as {
      messages: { from: string; to: string[] }[];
    };
    assert.deepEqual(
      messages.map(({ from, to }) => [from, to]),
      [["ann@office.example", ["bob@one.example"]]],
    );
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
