import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Network } from "../../../shared/net/network.ts";
import { NetworkSet } from "../../../shared/net/network-set.ts";

const setOf = (...texts: string[]) => new NetworkSet(texts.map(Network.parse));

test("an address is in the set when one of its networks has it", () => {
  const set = setOf("192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "0.0.0.0/32");
  for (const inside of [
    "192.0.2.0",
    "192.0.2.255",
    "198.51.100.7",
    "2001:db8:ffff::1",
    "::ffff:192.0.2.9",
    "0.0.0.0",
  ])
    assert.ok(set.contains(inside), inside);
  for (const outside of ["192.0.3.0", "198.51.100.6", "2001:db9::1", "::1", "host.example", ""])
    assert.ok(!set.contains(outside), outside);
});

test("a prefix of no bits has every address of its family, and none of the other", () => {
  assert.ok(setOf("0.0.0.0/0").contains("203.0.113.9"));
  assert.ok(!setOf("0.0.0.0/0").contains("2001:db8::1"));
  assert.ok(setOf("::/0").contains("2001:db8::1"));
  assert.ok(!setOf("::/0").contains("203.0.113.9"));
  assert.ok(!setOf().contains("203.0.113.9"));
});

test("whatever the networks and the address, the set says what they say one by one", () => {
  const v4 = fc.ipV4();
  // Without those that stand for an IPv4 address.
  const group = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
  const v6 = fc.array(group, { minLength: 7, maxLength: 7 }).map((groups) => `2001:${groups.join(":")}`);
  const network = fc.oneof(
    fc.tuple(v4, fc.integer({ min: 0, max: 32 })),
    fc.tuple(v6, fc.integer({ min: 0, max: 128 })),
  );
  fc.assert(
    fc.property(fc.array(network, { maxLength: 20 }), fc.oneof(v4, v6), (given, address) => {
      const networks = given.map(([base, prefix]) => Network.parse(`${base}/${prefix}`));
      const near = given[0]?.[0] ?? address;
      const set = new NetworkSet(networks);
      for (const asked of [address, near])
        assert.equal(
          set.contains(asked),
          networks.some((each) => each.contains(asked)),
          asked,
        );
    }),
    { numRuns: 300 },
  );
});
