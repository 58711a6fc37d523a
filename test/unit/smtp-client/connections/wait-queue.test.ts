import assert from "node:assert/strict";
import { test } from "node:test";
import type { PriorityClass } from "../../../../shared/limits/priority-class.ts";
import type { Acquired } from "../../../../shared/smtp-client/connections/connection-request.ts";
import { WaitQueue } from "../../../../shared/smtp-client/connections/wait-queue.ts";
import { connectionRequest, fresh, slow } from "../../../support/connection-pool.ts";

const full: Acquired = { kind: "full", retryAtMs: 1, reason: "full" };
const dead: Extract<Acquired, { kind: "dead" }> = {
  kind: "dead",
  diagnosis: { status: "4.4.1", class: "connect", reason: "connection refused", atMs: 1 },
};
const leased: Acquired = {
  kind: "leased",
  leased: {
    key: "k",
    slot: { release() {} },
    priorityClass: fresh,
    leasedAtMs: 0,
    session: undefined,
  },
};

/** A wait queue whose waiters never time out, unless the test lets time pass. */
function queueOf(t: { mock: typeof test.mock }, requests: ReturnType<typeof connectionRequest>[]) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let polls = 0;
  const queue = new WaitQueue(
    () => polls++,
    () => 50,
  );
  const answers = requests.map((request) => queue.wait(request, async () => full));
  return {
    queue,
    answers,
    get polls() {
      return polls;
    },
  };
}

/** So many connections that slow mail has; the others do not count. */
const slowHas = (count: number) => {
  const busy = (priorityClass: PriorityClass | undefined) => (priorityClass === slow ? count : 0);
  return {
    busy,
    hasShare: ({ priorityClass, share }: { priorityClass: PriorityClass | undefined; share: number }) =>
      busy(priorityClass) < share,
  };
};
const freshConnection = { key: "k", priorityClass: fresh };

test("fresh mail stands behind fresh mail, and slow mail behind all", (t) => {
  const { queue } = queueOf(
    t,
    [slow, fresh, slow, undefined].map((c) => connectionRequest(c)),
  );
  assert.equal(queue.positionFor(fresh), 2);
  assert.equal(queue.positionFor(undefined), 2);
  assert.equal(queue.positionFor(slow), 4);
  assert.equal(queue.count(slow), 2);
  assert.equal(queue.first(() => true)?.request.priorityClass, fresh, "though slow mail came before");
  assert.equal(
    new WaitQueue(
      () => {},
      () => 50,
    ).positionFor(slow),
    0,
  );
});

test("a session goes to the first waiter that can use it", (t) => {
  const [other, first, second] = [
    connectionRequest(fresh, { key: "other" }),
    connectionRequest(fresh),
    connectionRequest(fresh),
  ];
  const { queue } = queueOf(t, [other, first, second]);
  assert.equal(queue.nextFor(freshConnection, slowHas(0))?.request, first);
  assert.equal(queue.nextFor({ key: "third", priorityClass: fresh }, slowHas(0)), undefined);
});

test("slow mail without a session gets that of a fresh message; with one it waits for fresh mail", (t) => {
  const [first, last] = [connectionRequest(fresh), connectionRequest(slow)];
  const { queue } = queueOf(t, [first, last]);
  assert.equal(queue.nextFor(freshConnection, slowHas(0))?.request, last);
  assert.equal(queue.nextFor(freshConnection, slowHas(1))?.request, first);
  assert.equal(
    queue.nextFor({ key: "k", priorityClass: slow }, slowHas(0))?.request,
    first,
    "one message each, in turn",
  );
});

test("slow mail that has all of its share gets no session of a fresh message", (t) => {
  const { queue } = queueOf(t, [connectionRequest(slow)]);
  assert.equal(queue.nextFor(freshConnection, slowHas(3)), undefined);
});

test("a waiter that is served gets its connection, and waits no longer", async (t) => {
  const { queue, answers } = queueOf(t, [connectionRequest(fresh)]);
  const waiter = queue.first(() => true);
  assert.ok(waiter !== undefined && queue.serve(waiter, leased));
  t.mock.timers.tick(10_000);
  assert.equal(await answers[0], leased);
  assert.ok(!queue.serve(waiter, leased), "it has left");
});

test("a message waits for a second, or until it is aborted; then the destination counts as full", async (t) => {
  const stop = new AbortController();
  const { queue, answers } = queueOf(t, [
    connectionRequest(fresh),
    connectionRequest(fresh, { signal: stop.signal }),
  ]);
  stop.abort();
  assert.equal(await answers[1], full);
  assert.equal(queue.size, 1);
  t.mock.timers.tick(999);
  assert.equal(queue.size, 1);
  t.mock.timers.tick(1);
  assert.equal(await answers[0], full);
  assert.equal(queue.size, 0);
});

test("waiters for a dead destination get the cached failure, but not a last attempt, nor those for other hosts", async (t) => {
  const { queue, answers } = queueOf(t, [
    connectionRequest(fresh),
    connectionRequest(slow),
    connectionRequest(fresh, { ignoreDeadCache: true }),
    connectionRequest(fresh, { reachabilityKey: "mx example.org from 192.0.2.1" }),
  ]);
  assert.equal(queue.failDead("mx example.org", dead), 2);
  assert.deepEqual(await Promise.all([answers[0], answers[1]]), [dead, dead]);
  assert.equal(queue.size, 2);
  assert.equal(queue.failDead("mx example.org", dead), 0);
});

test("while messages wait, connections that other processes have freed are looked for", (t) => {
  const waiting = queueOf(t, [connectionRequest(fresh)]);
  t.mock.timers.tick(50);
  assert.equal(waiting.polls, 1);
  t.mock.timers.tick(50);
  assert.equal(waiting.polls, 2);
  const waiter = waiting.queue.first(() => true);
  if (waiter !== undefined) waiting.queue.serve(waiter, leased);
  t.mock.timers.tick(1000);
  assert.equal(waiting.polls, 2, "no message waits");
});

test("when the pool closes, every waiter has its answer, and no timer is left", async (t) => {
  const waiting = queueOf(t, [connectionRequest(fresh), connectionRequest(slow)]);
  waiting.queue.close(async () => full);
  assert.deepEqual(await Promise.all(waiting.answers), [full, full]);
  t.mock.timers.tick(1000);
  assert.equal(waiting.polls, 0);
});
