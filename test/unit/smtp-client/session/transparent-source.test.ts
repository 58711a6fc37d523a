import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "../../../../shared/runtime/log.ts";
import {
  createTransparentSource,
  type TransparentSourceProbes,
} from "../../../../shared/smtp-client/session/transparent-source.ts";

function transparentSource(given: Partial<TransparentSourceProbes>) {
  const lines: string[] = [];
  const warn = ((line: string) => lines.push(line)) as unknown as Logger["warn"];
  const probes = { whyNotTransparent: () => undefined, hasReturnRoute: () => true, now: () => 0, ...given };
  return { canHide: createTransparentSource("hide", { warn }, probes), lines };
}

test("a client's address is used where the process has the capability and replies come back", () => {
  const { canHide, lines } = transparentSource({});
  assert.deepEqual([canHide("192.0.2.1"), canHide("2001:db8::1")], [true, true]);
  assert.deepEqual(lines, []);
});

test("a loopback address is never a source for other machines", () => {
  const { canHide } = transparentSource({});
  assert.deepEqual([canHide("127.0.0.1"), canHide("::1")], [false, false]);
});

test("without the capability deliveries are not hidden, and the log says so once, at the start", () => {
  const { canHide, lines } = transparentSource({ whyNotTransparent: () => "no CAP_NET_ADMIN" });
  assert.equal(lines.length, 1);
  assert.match(
    lines[0] ?? "",
    /^hide: servers see an address of this machine, not the client's: no CAP_NET_ADMIN$/,
  );
  assert.deepEqual([canHide("192.0.2.1"), canHide("192.0.2.2")], [false, false]);
  assert.equal(lines.length, 1);
});

test("without a return route deliveries are not hidden, and the log says so once; they are when interception is up", () => {
  const up = { isUp: false };
  const clock = { nowMs: 0 };
  const { canHide, lines } = transparentSource({ hasReturnRoute: () => up.isUp, now: () => clock.nowMs });
  assert.deepEqual([canHide("192.0.2.1"), canHide("192.0.2.2")], [false, false]);
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /IPv4 .* postern intercept is not up here$/);
  up.isUp = true;
  clock.nowMs += 1_000;
  assert.equal(canHide("192.0.2.1"), true);
});

test("the return route of one address family does not serve the other", () => {
  const { canHide } = transparentSource({ hasReturnRoute: (family) => family === 6 });
  assert.deepEqual([canHide("192.0.2.1"), canHide("2001:db8::1")], [false, true]);
});
