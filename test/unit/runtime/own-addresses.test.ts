import assert from "node:assert/strict";
import { test } from "node:test";
import { createOwnAddresses } from "../../../shared/runtime/own-addresses.ts";

test("the addresses of the interfaces are the gateway's own", () => {
  assert.ok(createOwnAddresses().current().has("127.0.0.1"));
  assert.ok(!createOwnAddresses().current().has("127.0.0.2"));
});

test("addresses of interfaces are asked for again after ten seconds, and not for every connection", () => {
  const configured = ["198.51.100.1", "2001:db8::1", "198.51.100.2"];
  let nowMs = 0;
  let asked = 0;
  const own = createOwnAddresses(
    ["198.51.100.1", "2001:DB8:0::1", "::ffff:198.51.100.2"],
    () => [`192.0.2.${++asked}`],
    () => nowMs,
  );
  assert.deepEqual([...own.current()], [...configured, "192.0.2.1"]);
  nowMs = 9_999;
  assert.deepEqual([...own.current()], [...configured, "192.0.2.1"]);
  nowMs = 10_000;
  assert.deepEqual([...own.current()], [...configured, "192.0.2.2"]);
});
