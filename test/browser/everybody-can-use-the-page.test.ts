/** The dashboard by keyboard, by screen reader (axe-core), in light and dark, and on a phone. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { unlessBrowser } from "./browser.ts";
import { type Dashboard, openDashboard } from "./dashboard.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe("everybody can use the page", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;
  let message: StoredMessage;
  const views = () => [
    "overview",
    "queue",
    `message/${message.meta.id}`,
    "destinations",
    "destinations/one.example",
    "holds",
    "dead",
    "tracking",
    "tasks",
    "probe",
    "configuration",
  ];

  before(async () => {
    admin = await startTestAdmin();
    message = await admin.accept({
      from: "a.sender.with.a.long.name@a-rather-long-domain-name.office.example",
      to: [["ann@one.example", "bob@one.example", `${"x".repeat(60)}@${"y".repeat(60)}.example`]],
    });
    await admin.defer(
      "The mailbox of this recipient is over its quota; please try again later or not at all",
    );
    const dead = await admin.accept({ to: [["gone@two.example"]], from: "" });
    await admin.moveToDead(dead, "no such user");
    await admin.post("/api/v1/holds", { kind: "destination", value: "three.example", reason: "they move" });
    await admin.post("/api/v1/messages/hold", { ids: [dead.meta.id], reason: "for the list of tasks" });
    await admin.post("/api/v1/messages/retry", { ids: [message.meta.id], reason: "for the list of tasks" });
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await admin?.close();
  });

  /** Each rule that is broken, with the elements. */
  const violations = async (page: Page): Promise<string[]> => {
    await page.evaluate(axe);
    return page.evaluate<string[]>(`axe.run(document).then(({ violations }) =>
      violations.map(({ id, help, nodes }) => id + ": " + help + ": " + nodes.map(({ html }) => html).join(" ")))`);
  };
  const loaded = (page: Page) => page.waitForLoadState("networkidle");

  for (const colorScheme of ["light", "dark"] as const) {
    test(`axe-core finds nothing on any view in ${colorScheme}, nor in a dialog`, async () => {
      await dashboard.inTab(
        "overview",
        async (page, open) => {
          for (const view of views()) {
            await open(view);
            await loaded(page);
            assert.deepEqual(await violations(page), [], view);
          }
          await open("holds");
          await page.getByRole("button", { name: "New hold" }).click();
          await page.getByRole("dialog").waitFor();
          assert.deepEqual(await violations(page), [], "the dialog");
        },
        { colorScheme, expected: /404/ },
      );
    });
  }

  test("on a phone no view is wider than the screen, and the mail is in cards", async () => {
    await dashboard.inTab(
      "overview",
      async (page, open) => {
        for (const view of views()) {
          await open(view);
          await loaded(page);
          const beyond = await page.evaluate<number>("document.documentElement.scrollWidth - 360");
          assert.ok(beyond <= 0, `${view} is ${beyond} pixels too wide`);
        }
        await open("queue");
        await page.locator(".mail tbody tr").first().waitFor();
        assert.equal(await page.locator(".mail thead").isVisible(), false);
      },
      { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, expected: /404/ },
    );
  });

  test("the keyboard reaches the content first, then everything in the order of the page", async () => {
    await dashboard.inTab("queue", async (page) => {
      await loaded(page);
      const focused = () =>
        page.evaluate<string>(`(({ activeElement: at }) =>
          at.getAttribute("aria-label") ?? at.getAttribute("name") ?? at.textContent.trim())(document)`);
      await page.keyboard.press("Tab");
      assert.equal(await focused(), "Skip to the content");
      const order: string[] = [];
      for (let step = 0; step < 40; step++) {
        await page.keyboard.press("Tab");
        order.push(await focused());
      }
      const wanted = ["Postern", "Overview", "Tasks", "search", "status", "sort", "Retry now", "Remove"];
      const places = wanted.map((name) => order.indexOf(name));
      assert.ok(!places.includes(-1), `${wanted[places.indexOf(-1)]} is not reached: ${order.join(" | ")}`);
      assert.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
      );
    });
  });

  test("a dialog takes the focus, keeps it, closes by Escape, and gives it back", async () => {
    await dashboard.inTab("holds", async (page) => {
      const button = page.getByRole("button", { name: "New hold" });
      await button.focus();
      await page.keyboard.press("Enter");
      const dialog = page.getByRole("dialog", { name: "New hold" });
      await dialog.waitFor();
      // Between the last field and the first one the focus is on the browser itself.
      const isKept = () =>
        page.evaluate<boolean>(
          `document.activeElement === document.body || document.activeElement.closest("dialog") !== null`,
        );
      for (let step = 0; step < 8; step++) {
        assert.ok(await isKept());
        await page.keyboard.press("Tab");
      }
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      assert.equal(await page.evaluate("document.activeElement.textContent.trim()"), "New hold");
    });
  });

  test("a hold is made without a mouse", async () => {
    await dashboard.inTab("holds", async (page) => {
      await page.getByRole("button", { name: "New hold" }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("dialog").waitFor();
      await page.keyboard.type("keyboard.example");
      await page.keyboard.press("Enter");
      await page.getByRole("row", { name: /destination keyboard\.example/ }).waitFor();
    });
  });
});
