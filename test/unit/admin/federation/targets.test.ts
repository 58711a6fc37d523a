import assert from "node:assert/strict";
import { test } from "node:test";
import { maxTargets, scrapeTargets } from "../../../../services/admin/federation/targets.ts";
import type { ServiceAnnouncement } from "../../../../shared/runtime/announcement.ts";

function announced(given: Partial<ServiceAnnouncement>): ServiceAnnouncement {
  return {
    name: "delivery",
    pid: 1,
    host: "gw1",
    url: "http://gw1:9025",
    ready: true,
    reasons: [],
    warnings: [],
    startedAt: "2026-11-30T12:00:00.000Z",
    ...given,
  };
}

for (const [what, given, target] of [
  [
    "a service of this host on loopback",
    { url: "http://127.0.0.1:8027" },
    { instance: "gw1:8027", url: "http://127.0.0.1:8027" },
  ],
  [
    "one of this host on a wildcard address, whose name need not resolve here",
    {},
    { instance: "gw1:9025", url: "http://127.0.0.1:9025" },
  ],
  [
    "one of another host",
    { host: "gw2", url: "http://gw2:9025" },
    { instance: "gw2:9025", url: "http://gw2:9025" },
  ],
  [
    "one of another host by its IPv6 address",
    { host: "gw2", url: "http://[2001:db8::1]:9025" },
    { instance: "[2001:db8::1]:9025", url: "http://[2001:db8::1]:9025" },
  ],
  [
    "one of another host that listens on its loopback address only cannot be asked",
    { host: "gw2", url: "http://127.0.0.1:9025" },
    { instance: "gw2:9025" },
  ],
  ["an address that is none", { host: "gw2", url: "nonsense" }, { instance: "gw2" }],
] as const) {
  test(what, () => {
    assert.deepEqual(scrapeTargets([announced(given)], "gw1"), [{ name: "delivery", ...target }]);
  });
}

test("the admin asks neither itself nor what answers nowhere", () => {
  assert.deepEqual(scrapeTargets([announced({ name: "admin" }), announced({ url: null })], "gw1"), []);
});

test("of two that were announced at one address, the one that began last counts", () => {
  const [target, ...others] = scrapeTargets(
    [announced({ name: "bounce", startedAt: "2026-11-30T12:00:05.000Z" }), announced({})],
    "gw1",
  );
  assert.equal(target?.name, "bounce");
  assert.deepEqual(others, []);
});

test("there are bounds to how many are asked", () => {
  const many = Array.from({ length: 500 }, (_, port) => announced({ url: `http://gw2:${port + 1}` }));
  assert.equal(scrapeTargets(many, "gw1").length, maxTargets);
});
