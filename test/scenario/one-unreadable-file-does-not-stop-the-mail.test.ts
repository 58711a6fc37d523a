/** A bad sector in one segment and in one status log: a delivery service that starts then delivers everything else. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { storeInFinishedSegments } from "../support/finished-segments.ts";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";
import { badSector, faultyFiles } from "../unit/spool/faulty-files.ts";

test("after a restart and an emptied Redis, mail in all other files is delivered, and its space is freed", async (t) => {
  const remote = await startSmtpPeer();
  t.after(() => remote.stop());
  const flow = await createMailFlow(t, {
    queue: { retry: ["200ms"], delay_warning: 0 },
    relay: { routes: [{ to: "*@example.com", via: `127.0.0.1:${remote.port}` }] },
  });
  const directory = join(flow.config.data, "spool");
  const addresses = Array.from({ length: 12 }, (_, n) => `r${n}@example.com`);
  const body = `Subject: hello\r\n\r\n${"x".repeat(900)}\r\n`;
  const stored = await storeInFinishedSegments(
    directory,
    addresses,
    body,
    { segmentBytes: 2000 },
    async (ingress, all) => {
      const { id } = (all.pop() as StoredMessage).meta;
      await ingress.settle([{ id, recipients: [0], state: { kind: "removed" } }]);
    },
  );
  const [broken] = stored as [StoredMessage];
  const [log] = readdirSync(join(directory, "settled"));
  const disk = faultyFiles();
  disk.decide = badSector(disk, new RegExp(`${broken.locator.segment}\\.seg$|${log}$`));
  await flow.startDelivery({ spool: { files: disk.files } });
  const others = stored.filter(({ locator }) => locator.segment !== broken.locator.segment);
  const isDelivered = ({ meta }: StoredMessage): boolean =>
    remote.received.some(({ to }) => to[0]?.address === meta.envelope.recipients[0]?.address);
  await waitFor("the mail in all other segments", () => others.every(isDelivered));
  await waitFor("their space to be freed", async () => {
    await flow.spool.collect();
    return readdirSync(join(directory, "segments")).length <= 2;
  });
  disk.decide = () => "do";
  await waitFor("the rest, once the disk can read it", () => stored.every(isDelivered));
});
