/** Bull Board beside the dashboard: it opens, has every queue, and counts what we count. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { unlessBrowser } from "./browser.ts";
import { type Dashboard, openDashboard } from "./dashboard.ts";

interface QueueRow {
  name: string;
  waiting: number;
  active: number;
  deferred: number;
  held: number;
  dead: number;
}

describe("Bull Board", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;

  before(async () => {
    admin = await startTestAdmin();
    for (let n = 0; n < 3; n++) await admin.accept();
    await admin.defer("mailbox full");
    await admin.accept({ to: [["c@held.example"]] });
    await admin.post("/api/v1/messages/hold", { filter: { to: "*@held.example" } });
    for (let n = 0; n < 2; n++) await admin.accept();
    await admin.moveToDead(await admin.accept({ to: [["d@dead.example"]] }), "no such user");
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await admin?.close();
  });

  test("opens from the overview, shows every queue, and its counts are ours", async () => {
    const { queues } = (await (await admin.get("/api/v1/queues")).json()) as { queues: QueueRow[] };
    assert.ok(queues.some(({ held }) => held > 0) && queues.some(({ dead }) => dead > 0));
    await dashboard.inTab("overview", async (page) => {
      await page
        .getByRole("region", { name: "Table of queues" })
        .getByRole("link", { name: "delivery", exact: true })
        .click();
      for (const { name } of queues)
        await page
          .getByRole("link", { name: new RegExp(`^${name}\\b`) })
          .first()
          .waitFor();
      for (const { name, waiting, active, deferred, held, dead } of queues) {
        await page.goto(`${admin.url}/queues/queue/${name}`);
        /** What Bull Board says beside a status of BullMQ. */
        const counted = async (status: string, expected: number): Promise<void> => {
          const tab = page.getByRole("link", {
            name: new RegExp(`^${status}\\s*${expected === 0 ? "0?" : expected}$`, "i"),
          });
          await tab.first().waitFor();
        };
        await counted("active", active);
        // Held jobs are delayed without an end, and dead ones wait for nobody.
        await counted("delayed", deferred + held);
        await counted("waiting", waiting + dead);
      }
    });
  });
});
