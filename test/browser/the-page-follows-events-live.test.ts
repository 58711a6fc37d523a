/** Tracking, live and searched, and tasks that run while the page is open. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createMemorySpool } from "../../shared/spool/memory.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard, toastOf } from "./dashboard.ts";
import { type EventWriter, writeEvents } from "./page-events.ts";

const proxied = {
  event: "proxy.transaction",
  session: "s77",
  client: "192.0.2.7",
  server: "198.51.100.25:25",
  reversePath: "ann@office.example",
  accepted: { addresses: ["bob@elsewhere.example"], count: 1 },
  octets: 1234,
  result: "accepted",
  reply: "250 2.0.0 Ok: queued as 4XYZ",
} as const;

describe("the page follows what happens", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;
  let events: EventWriter;
  /** Until it is resolved no recipient is settled, and a removal does not end. */
  let settling = Promise.resolve();

  before(async () => {
    const spool = createMemorySpool();
    const settle = spool.settle.bind(spool);
    spool.settle = async (entries) => {
      await settling;
      return settle(entries);
    };
    admin = await startTestAdmin({}, { spool });
    events = writeEvents(admin);
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await events?.close();
    await admin?.close();
  });

  test("events appear while Live is on, the latest first, and stay when it is stopped", async () => {
    await dashboard.inTab("tracking", async (page) => {
      await page.getByRole("button", { name: "Live" }).click();
      await page.getByText("Live: the latest first").waitFor();
      events.write({ ...proxied, reversePath: "first@office.example" });
      await page.getByText(/from first@office\.example, to bob@elsewhere\.example/).waitFor();
      events.write({ ...proxied, reversePath: "second@office.example" });
      const text = page.locator(".timeline .text");
      await text.filter({ hasText: "second@office.example" }).waitFor();
      assert.match((await text.allInnerTexts())[0] ?? "", /second@office\.example/);
      await page.getByRole("button", { name: "Stop" }).click();
      await text.filter({ hasText: "first@office.example" }).waitFor();
    });
  });

  test("a live feed that Redis interrupts says so and goes on", async () => {
    await dashboard.inTab(
      "tracking",
      async (page) => {
        await page.getByRole("button", { name: "Live" }).click();
        await page.getByText("Live: the latest first").waitFor();
        await admin.redis.restart();
        events.write({ ...proxied, reversePath: "after@office.example" });
        await page.locator(".timeline .text").filter({ hasText: "after@office.example" }).waitFor();
      },
      { expected: /503|ERR_INCOMPLETE/ },
    );
  });

  test("proxied mail is found by an address, and by the kind of event", async () => {
    events.write(proxied);
    await dashboard.inTab(
      "tracking?event=proxy.transaction",
      async (page) => {
        await page
          .getByText(/198\.51\.100\.25:25: accepted/)
          .first()
          .waitFor();
        await page.getByRole("searchbox").fill("bob@elsewhere.example");
        await page.keyboard.press("Enter");
        await page
          .getByText(/250 2\.0\.0 Ok: queued as 4XYZ/)
          .first()
          .waitFor();
        await page.getByRole("searchbox").fill("nobody@nowhere.example");
        await page.keyboard.press("Enter");
        await page.getByText(/Nothing is known of/).waitFor();
      },
      { expected: /404/ },
    );
  });

  test("a long change shows how far it is, and is cancelled where it runs", async () => {
    for (const to of ["a", "b", "c"]) await admin.accept({ to: [[`${to}@slow.example`]] });
    const gate = Promise.withResolvers<void>();
    settling = gate.promise;
    await dashboard.inTab("queue?to=*%40slow.example", async (page, open) => {
      await page.getByRole("button", { name: "Remove", exact: true }).click();
      await answer(page, "Remove 3 messages", { "Reason, for the log": "a mistake of ours" });
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await open("tasks");
      const row = page.getByRole("row", { name: /remove/ });
      await row.getByText("running").waitFor();
      await row.getByText("a mistake of ours").waitFor();
      await row.getByRole("button", { name: "Cancel" }).click();
      gate.resolve();
      await row.getByText(/cancelled|done/).waitFor();
      assert.equal(await row.getByRole("button", { name: "Cancel" }).count(), 0);
    });
    settling = Promise.resolve();
  });

  test("a change that ends at once says how many messages it changed", async () => {
    await admin.accept({ to: [["d@quick.example"]] });
    await dashboard.inTab("queue?to=*%40quick.example", async (page) => {
      await page.getByRole("button", { name: "Hold", exact: true }).click();
      await answer(page, "Hold");
      await toastOf(page, "1 message is held");
    });
  });
});
