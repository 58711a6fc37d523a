import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { startGateway } from "../support/gateway.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";

/** Above the reserve of 64 MB that the spool keeps. */
const diskBytes = 80 * 2 ** 20;

test("mail is refused for lack of disk, and health and the command say so, also after a start on a full disk", async (t) => {
  const disk = mkdtempSync(path.join(tmpdir(), "postern-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskBytes}`, "postern-test", disk], {
      stdio: "ignore",
    });
  } catch {
    rmSync(disk, { recursive: true });
    t.skip("mounting a tmpfs needs root");
    return;
  }
  t.after(() => {
    execFileSync("umount", ["--lazy", disk]);
    rmSync(disk, { recursive: true });
  });
  const gateway = await startGateway({}, [], disk);
  t.after(() => gateway.stop());

  const offerMail = async (): Promise<string> => {
    const client = await SmtpClient.connect(gateway.port);
    await client.reply();
    await client.command("EHLO me");
    const reply = await client.command("MAIL FROM:<a@example.net>");
    client.close();
    return reply;
  };
  const isFull =
    /^postern: admin is not ready: the disk of the spool is full, and no mail is accepted: less than 64 MB would be left/;
  const ballast = path.join(disk, "ballast");

  assert.match(await offerMail(), /^250 /);
  writeFileSync(ballast, Buffer.alloc(30 * 2 ** 20));
  const full = await gateway.postern("health");
  assert.equal(full.code, 1);
  assert.match(full.stderr, isFull);
  // Of the service itself, too, which samples once a second.
  await waitFor("mail to be refused", async () => (await offerMail()).startsWith("452 4.3.1 "));
  const ingress = await gateway.postern("health", "ingress");
  assert.equal(ingress.code, 1);
  assert.match(ingress.stderr, /^postern: ingress is not ready: the disk of the spool is full/);

  await gateway.halt();
  const started = gateway.restart();
  await waitFor("health to answer after the start", async () =>
    isFull.test((await gateway.postern("health")).stderr),
  );
  rmSync(ballast);
  await started;
  assert.equal((await gateway.postern("health")).code, 0);
  assert.match(await offerMail(), /^250 /);
});
