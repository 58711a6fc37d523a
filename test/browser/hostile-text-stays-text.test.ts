/** What strangers write stands on the page as text: addresses, replies, identifiers, header fields, reasons. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard } from "./dashboard.ts";
import { type EventWriter, writeEvents } from "./page-events.ts";

/** Each runs or loads something where it is taken for markup, in an element, an attribute, or a template. */
const markup = `"><img src=x onerror=alert(1)><script>alert(2)</script>\${alert(3)}<svg/onload=alert(4)>'`;
const address = `"<img src=x onerror=alert(5)>"@evil.example`;

describe("hostile text on the page", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;
  let events: EventWriter;
  let message: StoredMessage;

  before(async () => {
    admin = await startTestAdmin();
    events = writeEvents(admin);
    message = await admin.accept({
      from: address,
      to: [[address, `"javascript:alert(6)"@evil.example`]],
      messageId: `<${markup}@evil.example>`,
      body: Buffer.from(`Subject: ${markup}\r\nX-Long: ${"a".repeat(900)}\r\n\r\n${markup}\r\n`),
    });
    await admin.defer(markup);
    await admin.post("/api/v1/holds", { kind: "sender", value: "*@evil.example", reason: markup });
    events.write({
      event: "delivery.deferred",
      id: message.meta.id,
      to: address,
      reply: `450 ${markup}`,
      reason: markup,
      remote: `${markup} [192.0.2.1]:25`,
    });
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await events?.close();
    await admin?.close();
  });

  /** Nothing on the page is an element that a stranger wrote, and no link goes anywhere but into the page. */
  const holdsText = async (page: Page): Promise<void> => {
    page.on("dialog", (dialog) => assert.fail(`alert: ${dialog.message()}`));
    assert.equal(await page.locator("#app img, #app script, #app svg, #app iframe").count(), 0);
    const links = await page
      .locator("#app a")
      .evaluateAll((all) => all.map((link) => link.getAttribute("href") ?? ""));
    for (const href of links) assert.match(href, /^(#|\/queues|\/openapi\.json)/);
  };

  const views = [
    "overview",
    "queue",
    "destinations",
    "destinations/evil.example",
    "holds",
    "tracking",
    "tasks",
  ];
  for (const view of views) {
    test(`${view} shows it as text`, async () => {
      await dashboard.inTab(view, async (page) => {
        await page.waitForLoadState("networkidle");
        await holdsText(page);
      });
    });
  }

  test("a message shows its header, its reply and its addresses as they are", async () => {
    await dashboard.inTab(`message/${message.meta.id}`, async (page) => {
      await page.locator("pre").filter({ hasText: "Subject:" }).waitFor();
      assert.ok((await page.locator("pre").allInnerTexts()).join().includes(markup));
      const recipients = page.getByRole("region", { name: "Table of recipients" });
      await recipients.getByRole("rowheader", { name: address }).waitFor();
      await page.locator(".timeline").getByText("onerror=alert(1)").first().waitFor();
      await holdsText(page);
      const width = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
      assert.ok(width <= 0, "a long header field makes the page wider");
    });
  });

  test("a search for markup, a view and a message that nobody has are answered in words", async () => {
    await dashboard.inTab(
      `queue?search=${encodeURIComponent("<b>x</b>")}`,
      async (page, open) => {
        await page.getByText("No message").waitFor();
        assert.equal(await page.getByRole("searchbox").inputValue(), "<b>x</b>");
        await open(encodeURIComponent("<b>x</b>"));
        await page.getByRole("heading", { level: 1 }).waitFor();
        await open(`message/${encodeURIComponent("../../<b>")}`);
        await page.getByText("Nothing is known of").waitFor();
        await holdsText(page);
      },
      { expected: /404/ },
    );
  });

  test("a reason of the operator's own is text, too", async () => {
    await dashboard.inTab("holds", async (page) => {
      await page.getByRole("button", { name: "New hold" }).click();
      await answer(page, "Hold", { "Which (not for all mail)": "plain.example", Reason: markup });
      await page.locator(".toast").waitFor();
      await holdsText(page);
    });
  });
});
