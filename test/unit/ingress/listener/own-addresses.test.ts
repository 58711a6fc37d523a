import assert from "node:assert/strict";
import { test } from "node:test";
import { createOwnAddresses } from "../../../../services/ingress/listener/own-addresses.ts";

test("the addresses of the interfaces are the gateway's own", () => {
  assert.ok(createOwnAddresses().current().has("127.0.0.1"));
  assert.ok(!createOwnAddresses().current().has("127.0.0.2"));
});

test("they are asked for again after ten seconds, and not for every connection", () => {
  let nowMs = 0;
  let asked = 0;
  const own = createOwnAddresses(
    () => [`192.0.2.${++asked}`],
    () => nowMs,
  );
  assert.deepEqual([...own.current()], ["192.0.2.1"]);
  nowMs = 9_999;
  assert.deepEqual([...own.current()], ["192.0.2.1"]);
  nowMs = 10_000;
  assert.deepEqual([...own.current()], ["192.0.2.2"]);
});
