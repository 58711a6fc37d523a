/** Tokens on the dashboard: asked for when one is needed, kept in the tab, refused in words. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { testConfig } from "../support/config.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard, toastOf } from "./dashboard.ts";

const reader = "a-token-that-may-only-read";
/** What comes through a proxy is from another machine, and reads need a token, too. */
const fromElsewhere = { extraHTTPHeaders: { "x-forwarded-for": "203.0.113.9" } };

describe("the page asks for a token", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;
  const tokens = [
    { name: "ann", token, scopes: ["read", "write", "content"] as const },
    { name: "screen", token: reader, scopes: ["read"] as const },
  ].map(({ scopes, ...each }) => ({ ...each, scopes: [...scopes] }));

  before(async () => {
    admin = await startTestAdmin({ admin: { port: 0, tokens } });
    await admin.accept({ to: [["x@one.example"]] });
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await admin?.close();
  });

  const enter = async (page: Page, value: string): Promise<void> => {
    await page.locator("main").getByLabel("Token").fill(value);
    await page.getByRole("button", { name: "Use it" }).click();
  };
  const everything = () => admin.config.data;

  test("from elsewhere it shows nothing without a token, refuses a wrong one, and opens with a right one", async () => {
    await dashboard.inTab(
      "queue",
      async (page) => {
        await page.getByRole("heading", { name: "A token is needed" }).waitFor();
        assert.equal(await page.getByText("x@one.example").count(), 0);
        await enter(page, "wrong");
        await page.getByText("The token is wrong").waitFor();
        await enter(page, token);
        await page.getByRole("status").filter({ hasText: "1 in the queues" }).waitFor();
        await page.reload();
        await page.getByRole("status").filter({ hasText: "1 in the queues" }).waitFor();
        await page.getByRole("button", { name: "Forget the token" }).click();
        await page.getByRole("heading", { name: "A token is needed" }).waitFor();
        assert.equal(await page.evaluate(`sessionStorage.getItem("postern.token")`), null);
      },
      { ...fromElsewhere, token: null, expected: /401/ },
    );
  });

  test("a token beyond ASCII is a wrong token, not an error of the page", async () => {
    await dashboard.inTab(
      "queue",
      async (page) => {
        await enter(page, "pässwörd ☃");
        await page.getByText("The token is wrong").waitFor();
      },
      { ...fromElsewhere, token: null, expected: /401/ },
    );
  });

  test("a change asks for a token in a dialog, and goes on with it", async () => {
    await dashboard.inTab(
      "queue",
      async (page) => {
        await page.getByRole("button", { name: "Hold", exact: true }).click();
        await page.getByRole("dialog", { name: "A token is needed" }).waitFor();
        await answer(page, "Use it", { Token: token });
        await page.getByRole("dialog", { name: "Hold" }).waitFor();
        await answer(page, "Hold", { "Reason, for the log": "with a token" });
        await toastOf(page, "1 message is held");
        assert.equal(admin.log.findLast(({ event }) => event === "admin.change")?.by, "ann");
      },
      { token: null, expected: /401/ },
    );
  });

  test("a token that may only read sees the queue, and is told which scope a change needs", async () => {
    await dashboard.inTab(
      "queue",
      async (page) => {
        await page.getByRole("status").filter({ hasText: "1 in the queues" }).waitFor();
        await page.getByRole("button", { name: "Release", exact: true }).click();
        const dialog = page.getByRole("dialog");
        await dialog.getByText("The token screen lacks the scope write").waitFor();
        await page.keyboard.press("Escape");
        await dialog.waitFor({ state: "detached" });
        const held = await admin.get("/api/v1/messages?status=held");
        const { messages } = (await held.json()) as { messages: unknown[] };
        assert.equal(messages.length, 1);
      },
      { ...fromElsewhere, token: reader, expected: /403/ },
    );
  });

  test("when its token has ended the page asks for another, and what it had stays on it meanwhile", async () => {
    const next = "the-token-of-next-month";
    await dashboard.inTab(
      "tasks",
      async (page) => {
        await page.getByRole("region", { name: "Tasks" }).waitFor();
        const config = (value: string) =>
          testConfig({
            data: everything(),
            admin: { port: 0, tokens: [{ name: "ann", token: value, scopes: ["read", "write", "content"] }] },
          });
        (await admin.admin.prepare?.(config(next)))?.();
        await page.getByRole("heading", { name: "A token is needed" }).waitFor();
        assert.equal(await page.getByRole("region", { name: "Tasks" }).count(), 1);
        await enter(page, next);
        await page.getByRole("heading", { name: "A token is needed" }).waitFor({ state: "detached" });
        assert.equal(await page.getByRole("alert").count(), 0);
      },
      { ...fromElsewhere, expected: /401/ },
    );
  });
});
