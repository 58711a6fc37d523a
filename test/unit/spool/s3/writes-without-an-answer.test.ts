/** A PUT whose answer does not come: the message is accepted once, or refused and not delivered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SpoolUnavailable } from "../../../../shared/spool/spool.ts";
import { someDiagnosis, someMeta, store, textOf, unsettledIds } from "../../../contract/spool.ts";
import type { Fault, ProxiedRequest } from "../../../support/s3-fault-proxy.ts";
import { serverError, slowDown } from "../../../support/s3-fault-proxy.ts";
import { waitFor } from "../../../support/wait-for.ts";
import { makeS3Fixture } from "./s3-fixture.ts";

const kinds = ["honoured", "ignored", "unsupported"] as const;

/** The first so many requests for messages have the fault. */
function atMessages(fault: Fault, times = Number.POSITIVE_INFINITY) {
  let left = times;
  return ({ method, path }: ProxiedRequest): Fault | undefined =>
    method === "PUT" && path.includes("/messages/") && left-- > 0 ? fault : undefined;
}

for (const conditionalPut of kinds) {
  test(`a message whose write was not answered is accepted, and is there once (conditional writes ${conditionalPut})`, async (t) => {
    const { proxy, open, keys } = await makeS3Fixture(t, { conditionalPut });
    const spool = await open();
    proxy.decide = atMessages({ do: "lose" }, 1);
    const stored = await store(spool, "hello");
    assert.equal(await textOf(spool, stored), "hello");
    assert.deepEqual(await unsettledIds(await open()), [stored.meta.id]);
    assert.equal(keys("messages/").length, 1);
  });

  test(`a message of which no write is answered is accepted when it is seen in the store (conditional writes ${conditionalPut})`, async (t) => {
    const { proxy, open } = await makeS3Fixture(t, { conditionalPut });
    const spool = await open({ repeatMs: 10 });
    proxy.decide = atMessages({ do: "lose" }, 1);
    const stored = await store(spool, "hello");
    assert.deepEqual(await unsettledIds(await open()), [stored.meta.id]);
  });

  test(`a refused message whose write takes place later is not delivered (conditional writes ${conditionalPut})`, async (t) => {
    const { proxy, open } = await makeS3Fixture(t, { conditionalPut });
    const spool = await open({ repeatMs: 10 });
    proxy.decide = atMessages({ do: "delay" }, 1);
    await assert.rejects(store(spool, "hello"), SpoolUnavailable);
    assert.equal(proxy.delayed, 1);
    const [status] = await proxy.release();
    assert.equal(status, conditionalPut === "honoured" ? 412 : 200);
    assert.deepEqual(await unsettledIds(await open()), []);
    // Accepting goes on.
    const { meta } = await store(spool, "another");
    assert.deepEqual(await unsettledIds(await open()), [meta.id]);
  });
}

test("a notification whose write takes place after its refusal is delivered, since it settles what it reports", async (t) => {
  const { proxy, open } = await makeS3Fixture(t, { conditionalPut: "unsupported" });
  const spool = await open({ repeatMs: 10 });
  const reported = await store(spool, "hello");
  const { id } = reported.meta;
  await spool.settle([{ id, recipients: [0], state: { kind: "failed", diagnosis: someDiagnosis } }]);
  proxy.decide = atMessages({ do: "delay" }, 1);
  const notification = someMeta();
  const settles = { id, recipients: [0], state: { kind: "bounced" as const } };
  await assert.rejects(store(spool, "a notification", notification, settles), SpoolUnavailable);
  await proxy.release();
  const other = await open();
  assert.deepEqual(await unsettledIds(other), [notification.id]);
  assert.equal((await other.states(id)).get(0)?.kind, "bounced");
});

test("a store that refuses everything refuses mail, says so, and takes it again when it is well", async (t) => {
  const { proxy, open, keys } = await makeS3Fixture(t);
  const spool = await open({ repeatMs: 200 });
  proxy.decide = ({ method }) => (method === "PUT" ? slowDown : undefined);
  await assert.rejects(store(spool, "hello"), /SlowDown/);
  assert.match(spool.pressure().failure ?? "", /SlowDown/);
  await assert.rejects(spool.checkWritable(), SpoolUnavailable);
  proxy.decide = () => undefined;
  await waitFor("a probe to succeed", () => spool.pressure().failure === undefined);
  await store(spool, "hello");
  assert.equal(keys("messages/").length, 1);
});

test("settlements that could not be recorded are known to this process, and are recorded later", async (t) => {
  const { proxy, open } = await makeS3Fixture(t);
  const spool = await open({ repeatMs: 50 });
  const { meta } = await store(spool, "hello");
  proxy.decide = ({ path }) => (path.includes("/states/") ? serverError : undefined);
  const settlement = { id: meta.id, recipients: [0], state: { kind: "delivered" as const } };
  await assert.rejects(spool.settle([settlement]), SpoolUnavailable);
  proxy.decide = () => undefined;
  assert.equal((await spool.states(meta.id)).get(0)?.kind, "delivered");
  const other = await open();
  await waitFor("another process to see it", async () => (await other.states(meta.id, true)).size === 1);
});
