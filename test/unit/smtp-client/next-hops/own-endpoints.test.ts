import assert from "node:assert/strict";
import { test } from "node:test";
import { createOwnEndpoints } from "../../../../shared/smtp-client/next-hops/own-endpoints.ts";

const own = () => new Set(["192.0.2.1", "2001:db8::1"]);
const endpoints = (loopback: "refuse" | "allow", ...listeners: [address: string, port: number][]) =>
  createOwnEndpoints(
    { listeners: listeners.map(([address, port]) => ({ address, port })), delivery: { loopback } },
    own,
  );

const thisMachine = [
  "127.0.0.1",
  "127.77.0.5",
  "0.0.0.0",
  "0.1.2.3",
  "::",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:0.0.0.0",
  "::FFFF:7f00:1",
  "0:0:0:0:0:0:0:1",
  "192.0.2.1",
  "::ffff:192.0.2.1",
  "2001:DB8::1",
];

for (const address of thisMachine) {
  test(`an MX that leads to ${address} leads to this gateway, unless loopback is allowed`, () => {
    assert.equal(endpoints("refuse").isOwnMailServer({ address, port: 25 }), true);
    assert.equal(endpoints("allow").isOwnMailServer({ address, port: 25 }), false);
  });
}

for (const address of [
  "192.0.2.2",
  "198.51.100.1",
  "2001:db8::2",
  "126.0.0.1",
  "10.0.0.1",
  "::ffff:192.0.2.2",
]) {
  test(`an MX that leads to ${address} is another machine's`, () => {
    assert.equal(endpoints("refuse").isOwnMailServer({ address, port: 25 }), false);
  });
}

for (const [at, address, expected] of [
  ["127.0.0.1", "127.0.0.1", true],
  ["127.0.0.1", "::ffff:127.0.0.1", true],
  ["127.0.0.1", "0.0.0.0", true],
  ["127.0.0.1", "127.0.0.2", false],
  ["192.0.2.1", "192.0.2.1", true],
  ["192.0.2.1", "127.0.0.1", false],
  ["192.0.2.1", "0.0.0.0", false],
  ["0.0.0.0", "127.0.0.1", true],
  ["0.0.0.0", "192.0.2.1", true],
  ["0.0.0.0", "192.0.2.2", false],
  ["0.0.0.0", "::1", false],
  ["::", "::1", true],
  ["::", "127.0.0.1", true],
  ["::", "2001:db8::1", true],
  ["::", "2001:db8::2", false],
] as const) {
  test(`a listener on ${at} ${expected ? "takes" : "does not take"} what is sent to ${address}`, () => {
    assert.equal(endpoints("allow", [at, 2525]).isOwnListener({ address, port: 2525 }), expected);
  });
}

test("another port of this machine is another program's, for the configuration and where loopback is allowed", () => {
  const { isOwnListener, isOwnMailServer } = endpoints("allow", ["0.0.0.0", 2525]);
  assert.equal(isOwnListener({ address: "127.0.0.1", port: 25 }), false);
  assert.equal(isOwnMailServer({ address: "127.0.0.1", port: 25 }), false);
  assert.equal(isOwnMailServer({ address: "127.0.0.1", port: 2525 }), true);
});
