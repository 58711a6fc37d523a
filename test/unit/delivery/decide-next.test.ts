import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decideNext, type FinishedAttempt, joinSteps } from "../../../services/delivery/decide-next.ts";
import type { AttemptHistory } from "../../../shared/queue/contract/contract.ts";
import type { Diagnosis, Outcome } from "../../../shared/smtp/diagnosis.ts";
import { testConfig } from "../../support/config.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const policy = testConfig().queue;
const receivedAtMs = 1_800_000_000_000;
const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };

function busy(text = "try later"): Diagnosis {
  const reply = { code: 451, lines: [text], command: "RCPT" as const };
  return { status: "4.0.0", class: "4xx", reason: text, reply, remote, atMs: receivedAtMs };
}
function refused(): Diagnosis {
  const reply = { code: 550, lines: ["no such user"], command: "RCPT" as const };
  return { status: "5.1.1", class: "5xx", reason: "no such user", reply, remote, atMs: receivedAtMs };
}
const deferred = (diagnosis = busy()): Outcome => ({ kind: "deferred", diagnosis });
const rejected = (diagnosis = refused()): Outcome => ({ kind: "rejected", diagnosis });
const delivered: Outcome = {
  kind: "delivered",
  reply: { code: 250, lines: ["ok"], command: "DOT" },
  remote,
  dsnPassedOn: false,
};

function finished(outcomes: Record<number, Outcome>, over: Partial<FinishedAttempt> = {}): FinishedAttempt {
  return {
    sinceMs: receivedAtMs,
    nullSender: false,
    history: undefined,
    outcomes: new Map(Object.entries(outcomes).map(([index, outcome]) => [Number(index), outcome])),
    withoutBackup: false,
    ...over,
  };
}
const after = (attempts: number, lastAttemptAtMs = receivedAtMs): AttemptHistory => ({
  attempts,
  lastAttemptAtMs,
  last: [],
});

describe("the retry schedule, RFC 5321 §4.5.4.1", () => {
  test("each deferral waits for the next time of the schedule, and the last one repeats", () => {
    const waits = [0, 1, 2, 3, 4, 5, 50].map((attempts) => {
      const next = decideNext(
        finished({ 0: deferred() }, { history: after(attempts) }),
        policy,
        receivedAtMs,
        0.5,
      );
      return (next.retry?.atMs ?? 0) - receivedAtMs;
    });
    assert.deepEqual(waits, [5 * minute, 10 * minute, 20 * minute, 40 * minute, hour, hour, hour]);
  });

  test("jitter spreads a retry by a tenth both ways", () => {
    const at = (jitter: number) =>
      (decideNext(finished({ 0: deferred() }), policy, receivedAtMs, jitter).retry?.atMs ?? 0) - receivedAtMs;
    assert.equal(at(0), 4.5 * minute);
    assert.equal(at(1), 5.5 * minute);
  });

  test("a schedule of zero does not spin", () => {
    const next = decideNext(finished({ 0: deferred() }), { ...policy, retry: [0] }, receivedAtMs, 0.5);
    assert.ok((next.retry?.atMs ?? 0) >= receivedAtMs + 100);
  });

  test("after slow_after attempts the message moves to the slow queue, fresh mail is not behind it", () => {
    const queue = (attempts: number) =>
      decideNext(finished({ 0: deferred() }, { history: after(attempts) }), policy, receivedAtMs, 0.5).retry
        ?.queue;
    assert.equal(queue(0), "delivery");
    assert.equal(queue(1), "delivery");
    assert.equal(queue(2), "delivery-slow");
    assert.equal(queue(9), "delivery-slow");
  });

  test("the history counts the attempt and keeps the last diagnosis of each pending recipient, equal ones once", () => {
    const outcomes = { 0: deferred(), 1: deferred(busy("greylisted")), 2: deferred(), 3: delivered };
    const next = decideNext(finished(outcomes, { history: after(1) }), policy, receivedAtMs + hour, 0.5);
    assert.equal(next.retry?.history.attempts, 2);
    assert.equal(next.retry?.history.lastAttemptAtMs, receivedAtMs + hour);
    assert.deepEqual(
      next.retry?.history.last.map((entry) => entry.recipients),
      [[0, 2], [1]],
    );
  });
});

test("some delivered, some deferred, some rejected in one attempt: each recipient ends right", () => {
  const next = decideNext(
    finished({ 0: delivered, 1: deferred(), 2: rejected() }),
    policy,
    receivedAtMs,
    0.5,
  );
  assert.deepEqual(next.delivered, [0]);
  assert.deepEqual(next.failed, [{ recipient: 2, diagnosis: refused() }]);
  assert.deepEqual(
    next.retry?.history.last.map((entry) => entry.recipients),
    [[1]],
  );
});

test("nothing follows when every recipient is delivered or refused", () => {
  const next = decideNext(finished({ 0: delivered, 1: rejected() }), policy, receivedAtMs, 0.5);
  assert.equal(next.retry, undefined);
});

describe("expiry", () => {
  test("the last attempt is made at the moment of expiry, not skipped because the schedule goes past it", () => {
    const nowMs = receivedAtMs + 5 * day - 10 * minute;
    const next = decideNext(finished({ 0: deferred() }, { history: after(40, nowMs) }), policy, nowMs, 0.5);
    assert.equal(next.retry?.atMs, receivedAtMs + 5 * day);
  });

  test("an expired recipient fails with 5.4.7 (RFC 3463 §3.5) and keeps the last real reply", () => {
    const nowMs = receivedAtMs + 5 * day;
    const next = decideNext(finished({ 0: deferred() }, { history: after(40, nowMs) }), policy, nowMs, 0.5);
    assert.equal(next.retry, undefined);
    const diagnosis = next.failed[0]?.diagnosis;
    assert.equal(diagnosis?.status, "5.4.7");
    assert.equal(diagnosis?.reply?.code, 451);
    assert.deepEqual(diagnosis?.remote, remote);
    assert.equal(diagnosis?.reason, "delivery time expired after 5 days; the last error: try later");
  });

  test("a refusal at the end stays that refusal", () => {
    const next = decideNext(finished({ 0: rejected() }), policy, receivedAtMs + 6 * day, 0.5);
    assert.equal(next.failed[0]?.diagnosis.status, "5.1.1");
  });

  test("mail of the null sender expires by dsn_expire, and 0 is one attempt", () => {
    const own = { ...policy, dsn_expire: 0 };
    const next = decideNext(finished({ 0: deferred() }, { nullSender: true }), own, receivedAtMs + 20, 0.5);
    assert.equal(next.retry, undefined);
    assert.equal(next.failed[0]?.diagnosis.status, "5.4.7");
    assert.ok(decideNext(finished({ 0: deferred() }), own, receivedAtMs + 20, 0.5).retry);
  });
});

describe("the delay warning", () => {
  const once = { ...policy, delay_warning: 4 * hour };
  const at = (nowMs: number, lastAttemptAtMs: number, over: Partial<FinishedAttempt> = {}) =>
    decideNext(
      finished({ 0: deferred() }, { history: after(7, lastAttemptAtMs), ...over }),
      once,
      nowMs,
      0.5,
    );

  test("an attempt is made when it is due, so that it is on time and fresh", () => {
    const nowMs = receivedAtMs + 3.5 * hour;
    const next = at(nowMs, receivedAtMs + 2.5 * hour);
    assert.equal(next.retry?.atMs, receivedAtMs + 4 * hour);
    assert.deepEqual(next.warn, []);
  });

  test("the first deferral from then on warns, with what the server said; later ones do not", () => {
    const first = at(receivedAtMs + 4 * hour, receivedAtMs + 3.5 * hour);
    assert.deepEqual(first.warn, [{ recipient: 0, diagnosis: busy() }]);
    assert.deepEqual(at(receivedAtMs + 5 * hour, receivedAtMs + 4 * hour).warn, []);
  });

  test("a first attempt that comes too late already (Redis was lost, a long stop) warns too", () => {
    const next = decideNext(finished({ 0: deferred() }), once, receivedAtMs + 6 * hour, 0.5);
    assert.equal(next.warn.length, 1);
  });

  test("none for the null sender, none when it is 0, none with the expiry", () => {
    const warned = (over: Partial<FinishedAttempt>, with_ = once, nowMs = receivedAtMs + 4 * hour) =>
      decideNext(finished({ 0: deferred() }, { history: after(3), ...over }), with_, nowMs, 0.5).warn.length;
    assert.equal(warned({}), 1);
    assert.equal(warned({ nullSender: true }), 0);
    assert.equal(warned({}, { ...policy, delay_warning: 0 }), 0);
    assert.equal(warned({}, { ...once, expire: 4 * hour }), 0);
  });
});

describe("with a backup route", () => {
  const backup = { after: hour, on: ["connect" as const, "5xx" as const] };
  const unreachableHost: Diagnosis = {
    status: "4.4.1",
    class: "connect",
    reason: "no answer",
    atMs: receivedAtMs,
  };

  test("the next attempt comes no later than the time of the backup", () => {
    const nowMs = receivedAtMs + 35 * minute;
    const next = decideNext(
      finished({ 0: deferred(unreachableHost) }, { history: after(3, nowMs) }),
      policy,
      nowMs,
      1,
      backup,
    );
    assert.equal(next.retry?.atMs, receivedAtMs + hour);
  });

  test("a failure of another class keeps its schedule", () => {
    const nowMs = receivedAtMs + 50 * minute;
    const next = decideNext(
      finished({ 0: deferred() }, { history: after(3, nowMs) }),
      policy,
      nowMs,
      0.5,
      backup,
    );
    assert.equal(next.retry?.atMs, nowMs + 40 * minute);
  });

  test("a 5xx that the backup is for waits for it in place of a notification", () => {
    const next = decideNext(finished({ 0: rejected() }), policy, receivedAtMs, 0.5, backup);
    assert.deepEqual(next.failed, []);
    assert.equal(next.retry?.atMs, receivedAtMs + hour);
    assert.equal(next.retry?.history.last[0]?.diagnosis.status, "5.1.1");
  });

  test("the backup's own refusal is final", () => {
    const next = decideNext(
      finished({ 0: rejected() }, { withoutBackup: true }),
      policy,
      receivedAtMs + 2 * hour,
      0.5,
      backup,
    );
    assert.equal(next.failed.length, 1);
  });

  test("no mail waits for a backup that would come after its expiry", () => {
    const next = decideNext(
      finished({ 0: rejected() }),
      { ...policy, expire: hour },
      receivedAtMs,
      0.5,
      backup,
    );
    assert.equal(next.failed[0]?.diagnosis.status, "5.1.1");
  });

  test("a definite answer of the DNS is final at once, whatever the backup is for", () => {
    const nullMx: Diagnosis = { status: "5.1.10", class: "dns", reason: "null MX", atMs: receivedAtMs };
    const next = decideNext(finished({ 0: rejected(nullMx) }), policy, receivedAtMs, 0.5, {
      after: 0,
      on: ["dns"],
    });
    assert.equal(next.failed[0]?.diagnosis.status, "5.1.10");
  });
});

describe("a job whose recipients went to several next hops", () => {
  const nowMs = receivedAtMs + 1000;
  const before = { queue: "delivery" as const, history: undefined };
  const step = (outcomes: Record<number, Outcome>, history?: AttemptHistory) =>
    decideNext(finished(outcomes, { history }), policy, nowMs, 0.5);

  test("ends when it has ended at all of them", () => {
    const joined = joinSteps([step({ 0: delivered }), step({ 1: rejected() })], new Map(), before, nowMs);
    assert.deepEqual(joined.delivered, [0]);
    assert.equal(joined.failed.length, 1);
    assert.equal(joined.retry, undefined);
  });

  test("comes back at the earliest time, and counts one attempt", () => {
    const history = after(2);
    const joined = joinSteps(
      [step({ 0: deferred() }, history), step({ 1: delivered }, history)],
      new Map(),
      before,
      nowMs,
    );
    assert.equal(joined.retry?.history.attempts, 3);
    assert.equal(joined.retry?.queue, "delivery-slow");
    assert.equal(joined.retry?.atMs, nowMs + 20 * minute);
  });

  test("recipients that could not be tried stay pending with what was known of them, and set the time", () => {
    const untried = new Map([[1, { untilMs: nowMs + 30_000, last: busy() }]]);
    const joined = joinSteps([step({ 0: deferred(busy("other")) })], untried, before, nowMs);
    assert.equal(joined.retry?.atMs, nowMs + 30_000);
    assert.deepEqual(
      joined.retry?.history.last.map((entry) => entry.recipients),
      [[0], [1]],
    );
  });

  test("keeps its count and its queue when only untried recipients are left", () => {
    const untried = new Map([[1, { untilMs: nowMs + 30_000 }]]);
    const slow = { queue: "delivery-slow" as const, history: after(7) };
    const joined = joinSteps([step({ 0: delivered }, after(7))], untried, slow, nowMs);
    assert.equal(joined.retry?.queue, "delivery-slow");
    assert.equal(joined.retry?.history.attempts, 7);
    assert.equal(joined.retry?.history.lastAttemptAtMs, receivedAtMs);
  });
});
