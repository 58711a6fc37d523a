/** Which listener a socket of systemd is for. */
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { test } from "node:test";
import { matchSockets } from "../../../../services/ingress/listener/given-sockets.ts";
import { descriptorsFrom, listenDescriptors } from "../../../../shared/config/listen-descriptors.ts";
import { boundSocket, describeSocket } from "../../../../shared/runtime/socket.ts";

const listeners = [
  { name: "mx", address: "0.0.0.0", port: 25, destination: "self" },
  { name: "mx6", address: "::", port: 25, destination: "self" },
  { name: "transparent", address: "0.0.0.0", port: 10025, destination: "tproxy" },
] as const;
const sockets: Record<number, ReturnType<typeof describeSocket>> = {
  3: { address: "::", port: 25, transparent: false },
  4: { address: "0.0.0.0", port: 25, transparent: false },
  5: { address: "0.0.0.0", port: 10025, transparent: true },
  6: { address: "0.0.0.0", port: 10025, transparent: false },
  7: { address: "127.0.0.1", port: 25, transparent: false },
  8: undefined,
};
const match = (...fds: number[]) => [...matchSockets(listeners, fds, (fd) => sockets[fd])];

test("a socket is for the listener with its address and port", () => {
  assert.deepEqual(match(3, 4, 5), [
    ["mx6", 3],
    ["mx", 4],
    ["transparent", 5],
  ]);
  assert.deepEqual(match(4), [["mx", 4]]);
  assert.deepEqual(match(), []);
});

test("a socket on another port of its address is for a listener with any free port", () => {
  const free = [
    { name: "mx", address: "127.0.0.1", port: 25, destination: "self" },
    { name: "one", address: "127.0.0.1", port: 0, destination: "self" },
    { name: "two", address: "127.0.0.1", port: 0, destination: "self" },
  ] as const;
  const at = (port: number) => ({ address: "127.0.0.1", port, transparent: false });
  const bound: Record<number, ReturnType<typeof describeSocket>> = { 3: at(4001), 4: at(25), 5: at(4002) };
  assert.deepEqual(
    [...matchSockets(free, [3, 4, 5], (fd) => bound[fd])],
    [
      ["one", 3],
      ["mx", 4],
      ["two", 5],
    ],
  );
});

test("a socket that nobody would accept on, or that is of the wrong kind, is an error", () => {
  assert.throws(
    () => match(7),
    /^Error: a socket for 127\.0\.0\.1:25 was handed over, and no listener has this/,
  );
  assert.throws(() => match(4, 4), /two sockets for 0\.0\.0\.0:25 were handed over/);
  assert.throws(() => match(6), /listener transparent is for tproxy, .* its unit needs Transparent=yes/);
  assert.throws(() => match(8), /the descriptor 8 that was handed over is no TCP socket/);
});

test("descriptors of systemd are those for this process alone", () => {
  assert.deepEqual(listenDescriptors({ LISTEN_PID: "42", LISTEN_FDS: "2" }, 42), [3, 4]);
  assert.deepEqual(listenDescriptors({ LISTEN_PID: "41", LISTEN_FDS: "2" }, 42), []);
  assert.deepEqual(listenDescriptors({}, 42), []);
  for (const count of ["", "0", "-1", "1.5", "two", "99999"])
    assert.deepEqual(descriptorsFrom(count), [], count);
});

test("the kernel says where a socket is bound", {
  skip: process.platform !== "linux" && "needs Linux",
}, () => {
  for (const address of ["127.0.0.1", "::"]) {
    const fd = boundSocket(address, 0);
    const described = describeSocket(fd);
    assert.deepEqual([described?.address, described?.transparent], [address, false]);
    assert.ok((described?.port ?? 0) > 0);
    closeSync(fd);
  }
  assert.equal(describeSocket(0), undefined);
});
