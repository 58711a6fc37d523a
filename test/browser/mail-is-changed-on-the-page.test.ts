/** Each change that the dashboard offers, pressed in a browser and seen in the queues. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";
import { unlessBrowser } from "./browser.ts";
import { answer, type Dashboard, openDashboard, toastOf, viewOf } from "./dashboard.ts";

/** The test puts mail in the queues, not through a session: no event is kept of it. */
const unknownToEvents = { expected: /404/ };

describe("mail is changed on the page", { skip: unlessBrowser() }, () => {
  let admin: TestAdmin;
  let dashboard: Dashboard;

  before(async () => {
    admin = await startTestAdmin();
    dashboard = await openDashboard(admin.url);
  });
  after(async () => {
    await dashboard?.close();
    await admin?.close();
  });

  /** As the API shows it now; undefined once it is in no queue. */
  const jobOf = async (message: StoredMessage): Promise<Record<string, unknown> | undefined> => {
    const response = await admin.get(`/api/v1/messages/${message.meta.id}`);
    return ((await response.json()) as { jobs: Record<string, unknown>[] }).jobs[0];
  };
  const statusBecomes = (message: StoredMessage, status: string | undefined) =>
    waitFor(`${message.meta.id} to be ${status}`, async () => (await jobOf(message))?.status === status);
  /** No worker of the test takes it. */
  const isDue = (message: StoredMessage) =>
    waitFor(`${message.meta.id} to be due`, async () => {
      const { status, nextAttemptAt } = (await jobOf(message)) ?? {};
      return status === "waiting" || (status === "deferred" && Date.parse(`${nextAttemptAt}`) <= Date.now());
    });
  const deferredTo = async (to: string): Promise<StoredMessage> => {
    const message = await admin.accept({ to: [[to]] });
    await admin.defer("mailbox full", { status: "4.2.2" });
    return message;
  };
  const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();
  const lastChange = () => admin.log.findLast(({ event }) => event === "admin.change");

  test("a deferred message is retried, and the log says who did it and why", async () => {
    const message = await deferredTo("retry@one.example");
    await dashboard.inTab(
      `message/${message.meta.id}`,
      async (page) => {
        await press(page, "Retry now");
        await answer(page, "Retry", { "Reason, for the log": "the mailbox was emptied" });
        await toastOf(page, "1 message is due now");
      },
      unknownToEvents,
    );
    await isDue(message);
    assert.equal(lastChange()?.reason, "the mailbox was emptied");
  });

  test("a message is held with a reason until a time, released, and held again by undo", async () => {
    const message = await deferredTo("hold@one.example");
    await dashboard.inTab(
      `message/${message.meta.id}`,
      async (page) => {
        await press(page, "Hold");
        await answer(page, "Hold", {
          "Until (empty: until it is released)": "2099-01-02T03:04",
          "Reason, for the log": "to be looked at",
        });
        await toastOf(page, "1 message is held");
        await statusBecomes(message, "held");
        const { hold } = (await jobOf(message)) as { hold: Record<string, unknown> };
        assert.deepEqual([hold.reason, hold.until], ["to be looked at", "2099-01-02T03:04:00.000Z"]);
        await page.getByText("held: to be looked at").waitFor();

        await press(page, "Release");
        await answer(page, "Release");
        await toastOf(page, "1 message is released");
        await isDue(message);
        await page
          .locator(".toast", { hasText: "is released" })
          .getByRole("button", { name: "Undo" })
          .click();
        await answer(page, "Hold");
        await statusBecomes(message, "held");
      },
      unknownToEvents,
    );
  });

  test("a message is rerouted to the next hop that the operator names, and not to one that is none", async () => {
    const message = await deferredTo("reroute@one.example");
    await dashboard.inTab(
      `message/${message.meta.id}`,
      async (page) => {
        await press(page, "Reroute");
        await answer(page, "Count the mail", { "A relay host": "no such relay" });
        await page.locator(".toast.bad", { hasText: "names no next hop" }).waitFor();
        await press(page, "Reroute");
        await answer(page, "Count the mail", { "A relay host": "192.0.2.9:2525" });
        await answer(page, "Reroute");
        await toastOf(page, "1 message is rerouted");
      },
      { expected: /404|400/ },
    );
    await waitFor("its new route", async () => /192\.0\.2\.9/.test(`${(await jobOf(message))?.route}`));
  });

  test("a removal names its number, is given up by Escape, and is done after the button only", async () => {
    const mails = [await deferredTo("a@gone.example"), await deferredTo("b@gone.example")] as const;
    await dashboard.inTab(viewOf("queue", { to: "*@gone.example" }), async (page) => {
      await press(page, "Remove");
      const dialog = page.getByRole("dialog");
      await dialog.getByText("2 messages").first().waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      for (const mail of mails) assert.equal((await jobOf(mail))?.status, "deferred");

      await press(page, "Remove");
      await answer(page, "Remove 2 messages");
      await toastOf(page, "2 messages are removed");
      for (const mail of mails) await statusBecomes(mail, undefined);
      await page.getByText("No message").waitFor();
    });
  });

  test("only the selected messages are changed", async () => {
    const [first, second] = [await deferredTo("a@some.example"), await deferredTo("b@some.example")];
    await dashboard.inTab(viewOf("queue", { to: "*@some.example" }), async (page) => {
      await page.getByLabel(`Select ${first.meta.id}-0`).check();
      await page
        .getByRole("group", { name: "Change 1 selected" })
        .getByRole("button", { name: "Hold" })
        .click();
      await answer(page, "Hold");
      await toastOf(page, "1 message is held");
    });
    await statusBecomes(first, "held");
    assert.equal((await jobOf(second))?.status, "deferred");
  });

  test("dead mail is put back", async () => {
    const message = await admin.accept({ to: [["dead@one.example"]], from: "" });
    await admin.moveToDead(message, "no such user");
    await dashboard.inTab("dead", async (page) => {
      await page.getByLabel(`Select ${message.meta.id}-0`).check();
      await press(page, "Put back");
      await answer(page, "Put back");
      await toastOf(page, "1 message is queued again");
    });
    await waitFor("the delivery job", async () => (await admin.inspector.counts()).dead.waiting === 0);
  });

  test("a hold is made, shown with its reason, released, and made again by undo", async () => {
    const message = await deferredTo("c@held.example");
    await dashboard.inTab("holds", async (page) => {
      await press(page, "New hold");
      await page.getByRole("dialog").locator("select[name=kind]").selectOption("destination");
      await answer(page, "Hold", { "Which (not for all mail)": "held.example", Reason: "they move house" });
      await toastOf(page, "The hold stands; 1 held now");
      await statusBecomes(message, "held");
      const row = page.getByRole("row", { name: /destination held\.example/ });
      await row.getByText("they move house").waitFor();
      await row.getByRole("button", { name: "Release" }).click();
      await answer(page, "Release");
      await toastOf(page, "Released 1");
      await isDue(message);
      await page.locator(".toast", { hasText: "Released 1" }).getByRole("button", { name: "Undo" }).click();
      await statusBecomes(message, "held");
      await row.getByText("they move house").waitFor();
    });
  });

  test("an error in a hold is said, and nothing is held", async () => {
    await dashboard.inTab(
      "holds",
      async (page) => {
        await press(page, "New hold");
        await answer(page, "Hold", { "Which (not for all mail)": "" });
        await page.locator(".toast.bad").waitFor();
      },
      { expected: /400/ },
    );
  });

  test("a message is exported as it was received", async () => {
    const message = await admin.accept({ to: [["e@export.example"]] });
    await dashboard.inTab(
      `message/${message.meta.id}`,
      async (page) => {
        const [download] = await Promise.all([page.waitForEvent("download"), press(page, "Export")]);
        assert.equal(download.suggestedFilename(), `${message.meta.id}.eml`);
        const chunks: Buffer[] = [];
        for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
        assert.match(Buffer.concat(chunks).toString(), /The secret body\.\r\n$/);
      },
      unknownToEvents,
    );
  });
});
