/** Which open socket a listener has, when the workers of an ingress are started or restarted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type OpenSocket, shareSockets } from "../../../shared/runtime/listening-sockets.ts";

const open: OpenSocket[] = [
  { fd: 20, address: "0.0.0.0", port: 25, transparent: false, listener: "mx" },
  { fd: 21, address: "0.0.0.0", port: 10025, transparent: true },
  { fd: 22, address: "127.0.0.1", port: 40_000, transparent: false, listener: "local" },
  { fd: 23, address: "2001:db8::1", port: 25, transparent: false, listener: "mx6" },
];

function share(...listeners: Parameters<typeof shareSockets>[0][number][]) {
  const { kept, missing } = shareSockets(listeners, open);
  return [kept.map(({ fd }) => fd), missing.map(({ name }) => name)];
}
const mx = { name: "mx", address: "0.0.0.0", port: 25, destination: "self" } as const;

test("a listener keeps the socket of its address and port, whatever its name and its spelling", () => {
  assert.deepEqual(share(mx), [[20], []]);
  assert.deepEqual(share({ ...mx, name: "other" }), [[20], []]);
  assert.deepEqual(share({ ...mx, address: "2001:DB8:0::1" }), [[23], []]);
});

test("another address, port or kind of socket is opened", () => {
  assert.deepEqual(share({ ...mx, port: 26 }), [[], ["mx"]]);
  assert.deepEqual(share({ ...mx, address: "127.0.0.1" }), [[], ["mx"]]);
  assert.deepEqual(share({ ...mx, destination: "tproxy" }), [[], ["mx"]]);
  assert.deepEqual(share({ ...mx, port: 10025, destination: "tproxy" }), [[21], []]);
  assert.deepEqual(share({ ...mx, port: 10025 }), [[], ["mx"]]);
});

test("a free port stays with the listener that it was opened for", () => {
  const local = { name: "local", address: "127.0.0.1", port: 0, destination: "self" } as const;
  assert.deepEqual(share(local), [[22], []]);
  assert.deepEqual(share({ ...local, name: "other" }), [[], ["other"]]);
});

test("two listeners have no socket in common", () => {
  assert.deepEqual(share(mx, { ...mx, name: "twin" }), [[20], ["twin"]]);
});
