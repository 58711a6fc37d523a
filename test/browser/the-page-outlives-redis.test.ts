/** Redis gone and back, and an admin that ends, as an operator sees it in a page that stays open. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { unlessBrowser } from "./browser.ts";
import { type Dashboard, openDashboard } from "./dashboard.ts";

describe("the page without Redis", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;

  before(async () => {
    admin = await startTestAdmin();
    await admin.accept({ to: [["x@one.example"]] });
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await admin?.close();
  });

  test("the queue keeps what it showed, says so, and goes on by itself when Redis is back", async () => {
    await dashboard.inTab(
      "tasks",
      async (page) => {
        await page.getByText("No message was changed").waitFor();
        await admin.redis.stop();
        const banner = page.getByRole("alert");
        await banner.getByText(/Redis.*Shown is what was at \d\d:\d\d:\d\d\./).waitFor();
        assert.equal(await page.getByText("No message was changed").count(), 1);
        await admin.redis.restart();
        await banner.waitFor({ state: "detached" });
        assert.equal(await page.getByText("No message was changed").count(), 1);
      },
      { expected: /503/ },
    );
  });

  test("the overview says that Redis is out of reach, and all that is known without it", async () => {
    await dashboard.inTab(
      "overview",
      async (page) => {
        await page.getByRole("region", { name: "Services" }).first().waitFor();
        await admin.redis.stop();
        await page.getByText("Not well").waitFor();
        await page.getByText("out of reach", { exact: true }).waitFor();
        await page.getByText("Not known at the moment").first().waitFor();
        await admin.redis.restart();
        await page.getByText(/answers in/).waitFor();
        await page.getByText("Not known at the moment").first().waitFor({ state: "detached" });
      },
      { expected: /503/ },
    );
  });
});
