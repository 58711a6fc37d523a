/** Defects planted on purpose, to see that the model finds them: a message that is lost, and one that arrives twice. */
import { SmtpClient } from "../../support/smtp-client.ts";
import { waitFor } from "../../support/wait-for.ts";
import type { Addresses } from "../gateway/config.ts";
import type { Copy } from "../history/events.ts";
import { domains } from "../peers/domains.ts";
import type { Stage } from "./fault.ts";

export type Plant = "loss" | "duplicate";

/** Removes a waiting message of one recipient behind the back of the model. */
export async function plantLoss({ admin }: Stage): Promise<void> {
  await admin.change("hold", { all: true });
  await waitFor(
    "a held message of one recipient to be removed",
    async () => {
      // One whose loss cannot be taken for anything else: its server would have accepted it.
      const row = (await admin.rows()).find(
        ({ status, to: [only = "", ...more] }) =>
          status === "held" && more.length === 0 && /^r.*@(good|plain)\.test$/.test(only),
      );
      if (row === undefined) return false;
      const { changed } = (await admin.change("remove", { ids: [row.id] })) as { changed: number };
      return changed === 1;
    },
    120_000,
  );
  await admin.change("release", { all: true });
}

/** Delivers a message again that the gateway has delivered, and said so. */
export async function plantDuplicate({ recorder }: Stage, addresses: Addresses): Promise<void> {
  const copy = await waitFor(
    "a message to be delivered to good.test",
    () => recordedCopy(recorder.events()),
    120_000,
  );
  const client = await SmtpClient.connect(
    addresses.ports["good.test"] ?? 0,
    domains["good.test"]?.address,
    "127.0.2.3",
  );
  await client.reply();
  for (const line of [
    "EHLO planted.test",
    `MAIL FROM:<${copy.from}>`,
    `RCPT TO:<${copy.recipients[0]}>`,
    "DATA",
    `Message-ID: ${copy.messageId}\r\n\r\nagain\r\n.`,
    "QUIT",
  ])
    await client.command(line);
  client.close();
}

function recordedCopy(history: ReturnType<Stage["recorder"]["events"]>): Copy | undefined {
  return history.find((event): event is Copy => {
    if (event.kind !== "copy" || event.server !== "good.test" || !event.answered || event.from === "")
      return false;
    return history.some(
      (line) =>
        line.kind === "logged" && line.event === "delivery.delivered" && line.to === event.recipients[0],
    );
  });
}
