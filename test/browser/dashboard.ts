/** The dashboard in a browser, watched for what no page of ours may do. A test opens a tab of its own and gets its faults. */
import assert from "node:assert/strict";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { token } from "../support/admin.ts";
import { openBrowser } from "./browser.ts";

const waitMs = 90_000;

/** What Chromium says of requests that it ends when the machine gets or loses a network, such as one of Docker. */
const networkChanged = /ERR_NETWORK_CHANGED/;

export interface TabOptions extends BrowserContextOptions {
  /** What the tab has in its storage; absent: the token of the test's admin, null: none. */
  token?: string | null;
  /** Failures that the test causes itself, as the console names them: `503`. */
  expected?: RegExp;
}

export interface Dashboard {
  /** Opens a view in a tab of its own, and fails when the page logged an error or asked anybody else. */
  inTab(
    view: string,
    act: (page: Page, open: (view: string) => Promise<void>) => Promise<void>,
    options?: TabOptions,
  ): Promise<void>;
  close(): Promise<void>;
}

/** @param url  of the admin */
export async function openDashboard(url: string): Promise<Dashboard> {
  const browser = await openBrowser();
  return {
    async inTab(view, act, options = {}) {
      const { page, faults, cut } = await openTab(browser, url, options);
      const open = async (next: string): Promise<void> => {
        const load = (how: () => Promise<unknown>) =>
          how().catch((error: Error) => {
            if (!networkChanged.test(error.message)) throw error;
            cut.add(url);
          });
        await load(() => page.goto(`${url}/#/${next}`));
        while (cut.size > 0) {
          cut.clear();
          await load(() => page.reload());
        }
        await page.locator("main h1").waitFor();
      };
      try {
        await open(view);
        await act(page, open);
        assert.deepEqual(faults, []);
      } catch (error) {
        // What the page said explains a button that never came.
        if (faults.length === 0) throw error;
        throw new Error(`${error}\nthe page: ${faults.join("\n")}`, { cause: error });
      } finally {
        await page.context().close();
      }
    },
    close: () => browser.close(),
  };
}

async function openTab(
  browser: Browser,
  url: string,
  { token: given = token, expected, ...how }: TabOptions,
) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    locale: "en-GB",
    timezoneId: "UTC",
    // Colours are looked at once they have arrived.
    reducedMotion: "reduce",
    ...how,
  });
  context.setDefaultTimeout(waitMs);
  const faults: string[] = [];
  /** The addresses of files that did not come since the network changed: the page is not whole. */
  const cut = new Set<string>();
  const page = await context.newPage();
  if (given !== null) {
    // Only where there is none: a token that the page has forgotten stays forgotten.
    const store = `if (sessionStorage.getItem("given") === null) {
      sessionStorage.setItem("given", "yes");
      sessionStorage.setItem("postern.token", ${JSON.stringify(given)});
    }`;
    await page.addInitScript(store);
  }
  page.on("console", (message) => {
    if (message.type() !== "error" || expected?.test(message.text())) return;
    if (networkChanged.test(message.text())) return;
    faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== url)
      faults.push(`request to ${request.url()}`);
  });
  page.on("requestfailed", (request) => {
    if (networkChanged.test(request.failure()?.errorText ?? "") && request.resourceType() !== "fetch")
      cut.add(request.url());
  });
  return { page, faults, cut };
}

/** Answers the open dialog: fills its fields by their labels, then presses the button. */
export async function answer(page: Page, button: string | RegExp, fields: Record<string, string> = {}) {
  const dialog = page.getByRole("dialog");
  for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(label).fill(value);
  await dialog.getByRole("button", { name: button }).click();
}

/** Waits for a message at the foot of the page. */
export async function toastOf(page: Page, text: string | RegExp): Promise<void> {
  await page.locator(".toast").filter({ hasText: text }).first().waitFor();
}

/** The address of a view with its query. */
export function viewOf(view: string, query: Record<string, string>): string {
  return `${view}?${new URLSearchParams(query)}`;
}
