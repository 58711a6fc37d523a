/** Debian's chromium without a window, for the tests of the page. The test closes it. */
import { type Browser, chromium } from "playwright-core";
import { unlessInstalled } from "../support/programs.ts";

/** For `skip` of node:test. */
export const unlessBrowser = (): false | string => unlessInstalled("chromium");

export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    // The sandbox of Chromium does not work as root, as which tests run in containers; the page is our own.
    args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
  });
}
