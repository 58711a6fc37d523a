/** When a host that is taken out of service may be stopped. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hostStates, leftMail } from "../../../../services/admin/routes/drain-state.ts";

const drain = { sinceMs: Date.UTC(2026, 0, 2, 3, 4, 5), by: "oncall", reason: "new disk" };
const nothing = { waiting: 0, active: 0, deferred: 7, held: 1, dead: 1 };
const ingress = (host: string, sessions?: number) => ({
  name: "ingress",
  host,
  pid: 1,
  ...(sessions === undefined ? {} : { draining: { sessions } }),
});

/** The states by host. */
const states = (...given: Parameters<typeof hostStates>) =>
  Object.fromEntries(
    hostStates(...given).map(({ host, state, others }) => [host, `${state}, others ${others}`]),
  );

test("a host alone is drained when no client is connected and nothing waits that can be delivered", () => {
  const drains = new Map([["a", drain]]);
  const cases: [Parameters<typeof hostStates>[0], typeof nothing, string][] = [
    [[ingress("a", 0)], nothing, "drained, others 0"],
    [[ingress("a", 1)], nothing, "draining, others 0"],
    [[ingress("a")], nothing, "draining, others 0"],
    [[ingress("a", 0), ingress("a")], nothing, "draining, others 0"],
    [[ingress("a", 0)], { ...nothing, waiting: 1 }, "draining, others 0"],
    [[ingress("a", 0)], { ...nothing, active: 1 }, "draining, others 0"],
    [[], nothing, "drained, others 0"],
  ];
  for (const [announced, mail, expected] of cases)
    assert.deepEqual(states(announced, drains, mail), { a: expected });
});

test("beside others a host is drained when no client is connected: they deliver what waits", () => {
  const announced = [ingress("a", 0), ingress("b")];
  const mail = { ...nothing, waiting: 100, active: 20 };
  assert.deepEqual(states(announced, new Map([["a", drain]]), mail), {
    a: "drained, others 1",
    b: "in-service, others 0",
  });
  const both = new Map([
    ["a", drain],
    ["b", drain],
  ]);
  assert.equal(states(announced, both, mail).a, "draining, others 0");
});

test("who has taken it out, when and why stands beside it", () => {
  const [state] = hostStates([ingress("a", 3)], new Map([["a", drain]]), nothing);
  assert.deepEqual(state, {
    host: "a",
    state: "draining",
    since: "2026-01-02T03:04:05.000Z",
    by: "oncall",
    reason: "new disk",
    processes: [{ pid: 1, sessions: 3 }],
    others: 0,
  });
});

test("a notification that waits for others of its message, and mail that is in the spool alone, count as waiting", () => {
  const none = { waiting: 0, active: 0, deferred: 0, held: 0, dead: 0 };
  assert.deepEqual(
    leftMail(
      [
        { ...none, name: "delivery", waiting: 1, active: 2, deferred: 3, held: 4 },
        { ...none, name: "bounce", deferred: 5 },
        { ...none, name: "dead", dead: 6 },
      ],
      [{}, { unscheduled: 100 }],
    ),
    { waiting: 106, active: 2, deferred: 3, held: 4, dead: 6 },
  );
});
