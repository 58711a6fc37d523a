/** A store that has not answered since the start is not waited for when the process stops. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { SpoolFault } from "../../../../shared/spool/fault.ts";
import type { S3SpoolOptions } from "../../../../shared/spool/s3/options.ts";
import { createS3Spool } from "../../../../shared/spool/s3/s3-spool.ts";
import { SpoolUnavailable } from "../../../../shared/spool/spool.ts";
import { someMeta, unsettledIds } from "../../../contract/spool.ts";
import { freePort } from "../../../support/free-port.ts";
import { startRawServer } from "../../../support/raw-server.ts";
import { waitFor } from "../../../support/wait-for.ts";

/** Far above the time of these tests: whoever waits for it is seen. */
const foreverMs = 200_000;

function openSpool(t: TestContext, port: number, more: Partial<S3SpoolOptions> = {}) {
  const directory = mkdtempSync(join(tmpdir(), "postern-s3-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const faults: SpoolFault[] = [];
  const spool = createS3Spool({
    bucket: "mail",
    endpoint: `http://127.0.0.1:${port}`,
    credentials: { accessKeyId: "KEY", secretAccessKey: "secret" },
    directory,
    attemptMs: foreverMs,
    repeatMs: foreverMs,
    onFault: (fault) => faults.push(fault),
    ...more,
  });
  return { spool, faults };
}

test("a store that refuses connections is not asked again once the spool closes", async (t) => {
  const { spool, faults } = openSpool(t, await freePort());
  await waitFor("more than one attempt", () => spool.requests.put > 1, 60_000);
  await spool.close();
  const { put } = spool.requests;
  assert.deepEqual(faults, []);
  await assert.rejects(spool.admitted(), SpoolUnavailable);
  assert.equal(spool.requests.put, put);
});

test("a store that takes connections and does not answer is not waited for", async (t) => {
  const server = await startRawServer({ address: "127.0.0.1" });
  t.after(() => server.stop());
  const { spool, faults } = openSpool(t, server.port);
  const connection = await server.next();
  await waitFor("its request", () => connection.text.includes("PUT "));
  await spool.close();
  await waitFor("its connection to end", () => connection.ended || connection.closed, 60_000);
  assert.deepEqual(faults, []);
});

test("when the process begins to stop, whoever waits for the store's permission is answered", async (t) => {
  const { spool } = openSpool(t, await freePort());
  const draft = spool.draft();
  await draft.write(Buffer.from("Hello.\r\n"));
  const waiting = [
    spool.admitted(),
    draft.commit(someMeta()),
    spool.states("unknown"),
    unsettledIds(spool),
    spool.collect(),
  ];
  const ended = Promise.allSettled(waiting);
  await waitFor("the store to be asked", () => spool.requests.get > 0, 60_000);
  spool.giveUp();
  for (const each of await ended) {
    assert.equal(each.status, "rejected");
    assert.ok(each.status === "rejected" && each.reason instanceof SpoolUnavailable);
    assert.match(each.reason.message, /it was not waited for any longer$/);
  }
  await spool.close();
});
