/**
 * Search, filters, order and pages of a long queue, and how long each request of the page takes. `npm run test:browser:long`
 * has 200,000 deferred messages.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import { addDeferredJobs } from "../../bench/peers/deferred-jobs.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard } from "./dashboard.ts";

const messages = Number(process.env.POSTERN_BROWSER_MESSAGES ?? 3_000);
/** A change of very many messages, on a machine that is busy. */
const longMs = 300_000;
const thousands = messages.toLocaleString("en");

describe(`${thousands} deferred messages on the page`, { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;

  before(async () => {
    admin = await startTestAdmin();
    const redis = createRedis({ url: admin.redis.url }, "plain", createLogger("test", { write() {} }));
    await addDeferredJobs(redis, messages);
    redis.disconnect();
    const indexed = async () => (await list("limit=1")).totals?.matched;
    await waitFor("the index of the queues", async () => (await indexed()) === messages, 1_200_000);
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await admin?.close();
  });

  const list = async (query: string) =>
    (await (await admin.get(`/api/v1/messages?${query}`)).json()) as {
      messages: { id: string; nextAttemptAt: string | null }[];
      totals: { matched: number } | null;
    };
  const matched = (page: Page, text: string | RegExp) =>
    page.getByRole("status").filter({ hasText: text }).first().waitFor();
  const queryOf = (page: Page) => new URLSearchParams(new URL(page.url()).hash.split("?")[1]);

  test("the slash key goes to the search, and Return finds a part of an address", async () => {
    await dashboard.inTab("queue", async (page) => {
      await matched(page, `${thousands} in the queues`);
      await page.keyboard.press("/");
      await page.keyboard.type("d77.example");
      await page.keyboard.press("Enter");
      await matched(page, " match");
      assert.equal(queryOf(page).get("search"), "d77.example");
      await waitFor("rows of that domain only", async () => {
        const to = await page.locator("td[data-label=to]").allInnerTexts();
        return to.length > 0 && to.every((each) => each.replaceAll(/\s/g, "").includes("d77.example"));
      });
      await page.getByRole("link", { name: "Clear" }).click();
      await matched(page, `${thousands} in the queues`);
      assert.equal(await page.getByRole("searchbox").inputValue(), "");
    });
  });

  test("filters by status and recipient stand in the address, so that it can be passed on", async () => {
    await dashboard.inTab("queue", async (page, open) => {
      await page.getByLabel("Status").selectOption("held");
      await matched(page, "0 match");
      await page.getByText("No message").waitFor();
      assert.equal(queryOf(page).get("status"), "held");
      await page.getByText("More filters").click();
      await page.getByLabel("Recipient").fill("*@d7.example");
      await page.getByLabel("Status").selectOption("deferred");
      await matched(page, /^(?!0)[\d,]+ match/);
      assert.deepEqual(
        [...queryOf(page)],
        [
          ["status", "deferred"],
          ["to", "*@d7.example"],
        ],
      );
      const shared = page.url().split("#/")[1] ?? "";
      await open("overview");
      await open(shared);
      assert.equal(await page.getByLabel("Recipient").inputValue(), "*@d7.example");
      await matched(page, /^(?!0)[\d,]+ match/);
    });
  });

  test("the order is the operator's, and pages follow each other in it", async () => {
    await dashboard.inTab("queue", async (page) => {
      const idsOf = () => page.locator("tbody th.code").allInnerTexts();
      await page.getByLabel("Order").selectOption("oldest");
      await page.getByRole("link", { name: "Next page" }).waitFor();
      const oldest = async () => (await list("limit=100&sort=oldest")).messages.map(({ id }) => id);
      await waitFor("the oldest first", async () => (await idsOf()).join() === (await oldest()).join());
      const first = await idsOf();
      await page.getByRole("link", { name: "Next page" }).click();
      await page.getByRole("link", { name: "First page" }).waitFor();
      const second = await waitFor("other rows", async () => {
        const ids = await idsOf();
        return ids.length === 100 && ids[0] !== first[0] && ids;
      });
      assert.deepEqual(
        second.filter((id) => first.includes(id)),
        [],
      );
      await page.getByRole("link", { name: "First page" }).click();
      await waitFor("the first page", async () => (await idsOf())[0] === first[0]);
    });
  });

  test("every view asks little, and says how long each answer took", async (t) => {
    const took = new Map<string, number>();
    const views = [
      "overview",
      "queue",
      "destinations",
      "destinations/d77.example",
      "queue?search=d77",
      "holds",
    ];
    await dashboard.inTab("tasks", async (page, open) => {
      for (const view of views) {
        await open(view);
        await page.waitForLoadState("networkidle");
        const entries = await page.evaluate(() =>
          performance
            .getEntriesByType("resource")
            .filter(({ name }) => name.includes("/api/"))
            .map(({ name, duration }) => ({ name: new URL(name).pathname + new URL(name).search, duration })),
        );
        for (const { name, duration } of entries) took.set(name, Math.max(took.get(name) ?? 0, duration));
      }
    });
    for (const [name, ms] of took) t.diagnostic(`${thousands} messages: ${Math.round(ms)} ms ${name}`);
    assert.ok(took.size >= views.length);
  });

  test("all that match are retried by one task, which says how far it is", async (t) => {
    await dashboard.inTab("queue?status=deferred", async (page, open) => {
      await matched(page, `${thousands} match`);
      const group = page.getByRole("group", { name: "Change All that match" });
      const askedMs = performance.now();
      await group.getByRole("button", { name: "Retry now" }).click();
      const confirm = page.getByRole("dialog").getByRole("button", { name: `Retry ${thousands} messages` });
      await confirm.waitFor({ timeout: longMs });
      t.diagnostic(`${thousands} messages: counted in ${Math.round(performance.now() - askedMs)} ms`);
      const begunMs = performance.now();
      await answer(page, `Retry ${thousands} messages`, { "Reason, for the log": "the network is back" });
      await open("tasks");
      const row = page.getByRole("row", { name: /the network is back/ });
      await row.getByText("status deferred").waitFor();
      await row.getByText("done", { exact: true }).waitFor({ timeout: longMs });
      await row.getByText(`${thousands} changed`).waitFor();
      t.diagnostic(`${thousands} messages: retried in ${Math.round(performance.now() - begunMs)} ms`);
    });
    const { messages: rows } = await list("limit=100&sort=next");
    assert.equal(rows.length, 100);
    assert.ok(
      rows.every(({ nextAttemptAt }) => nextAttemptAt !== null && Date.parse(nextAttemptAt) <= Date.now()),
    );
  });
});
