/** Servers take mail while nothing can be recorded: only the worker that delivered knows of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";
import { failure, faultyFiles } from "../unit/spool/faulty-files.ts";

test("a worker that cannot record a delivery keeps its job until it can: no other one delivers again", async (t) => {
  const remote = await startSmtpPeer();
  t.after(() => remote.stop());
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*@example.com", via: `127.0.0.1:${remote.port}` }] },
  });
  const disk = faultyFiles();
  let refused = 0;
  disk.decide = (call, args) => {
    if (call !== "open" || args[1] !== "wx" || !String(args[0]).endsWith(".log")) return "do";
    refused++;
    return failure("ENOSPC");
  };
  const workerTiming = { lockMs: 1_000, stalledCheckMs: 200, epochCheckMs: 200, reclaimMs: 500 };
  for (const name of ["one", "other"])
    await flow.startDelivery({ name, workerTiming, spool: { files: disk.files } });
  const ids: string[] = [];
  for (let n = 0; n < 8; n++) ids.push((await flow.accept({ to: [`r${n}@example.com`] })).meta.id);
  await waitFor("all to be delivered", () => remote.received.length === 8);
  const refusedBefore = refused;
  // The jobs' locks last for a second.
  await waitFor("further tries to record it", () => refused > refusedBefore + 12);
  assert.match(await flow.redis.command("LLEN {postern}:delivery:active"), /^:8/);
  assert.equal(remote.received.length, 8);
  disk.thaw();
  for (const id of ids)
    await waitFor(`${id} to be settled`, async () => `${await flow.kinds(id)}` === "delivered");
  await waitFor("the jobs to be done", async () =>
    /^:0/.test(await flow.redis.command("LLEN {postern}:delivery:active")),
  );
  assert.equal(remote.received.length, 8);
});
