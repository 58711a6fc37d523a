import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { SpoolCorrupt, SpoolUnavailable } from "../../../shared/spool/spool.ts";
import {
  busy,
  deferred,
  delivered,
  eventsOf,
  receivedAtMs,
  refusal,
  rejected,
  runJob,
} from "./worker-fixture.ts";

const hour = 3_600_000;
const day = 24 * hour;
const two = { recipients: [{ address: "bob@example.com" }, { address: "carol@example.com" }] };
const three = { recipients: [...two.recipients, { address: "dave@example.com" }] };

describe("one message, one attempt", () => {
  test("a delivered message costs one read, one attempt and one settle, and its job is done", async () => {
    const ran = await runJob({});
    assert.deepEqual(ran.next, { kind: "done" });
    assert.deepEqual(ran.steps, ["states", "attempt", "settle"]);
    assert.deepEqual(ran.settled, [
      { id: "1HZ8C4S30ABCDEFGHJ", recipients: [0], state: { kind: "delivered" } },
    ]);
    assert.deepEqual(eventsOf(ran), ["delivery.attempt", "delivery.delivered", "message.settled"]);
  });

  test("the log of a delivery has sender, recipient, server, reply and duration", async () => {
    const ran = await runJob({ ageMs: 5000 });
    const line = ran.events.find(({ event }) => event === "delivery.delivered");
    assert.partialDeepStrictEqual(line, {
      id: "1HZ8C4S30ABCDEFGHJ",
      job: "1HZ8C4S30ABCDEFGHJ-0",
      from: "alice@example.org",
      to: "bob@example.com",
      remote: "mx.example.com[192.0.2.25]:25",
      status: "2.0.0",
      reply: "250 ok",
      ms: 3,
      delayMs: 5000,
      row: "relay",
      nextHop: "mx example.com",
    });
  });

  test("a deferred message comes back by the schedule, with what was learned", async () => {
    const ran = await runJob({ answers: { "*": deferred() } });
    assert.deepEqual(ran.settled, []);
    assert.equal(ran.next?.kind, "later");
    if (ran.next?.kind !== "later") return;
    assert.equal(ran.next.atMs, receivedAtMs + 1000 + 300_000);
    assert.equal(ran.next.queue, "delivery");
    assert.equal(ran.next.history.attempts, 1);
    assert.deepEqual(ran.next.route, { label: "relay via mx example.com", aliases: ["example.com"] });
    assert.partialDeepStrictEqual(ran.events.at(-1), {
      event: "delivery.deferred",
      status: "4.0.0",
      class: "4xx",
    });
  });

  test("a refused recipient is recorded as failed before its bounce job, which waits for the aggregation window", async () => {
    const ran = await runJob({ answers: { "*": rejected() } });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.deepEqual(ran.steps, ["states", "attempt", "settle", "bounce failed", "states fresh"]);
    assert.equal(ran.settled[0]?.state.kind, "failed");
    assert.equal(ran.bounces[0]?.delayMs, 1000);
    assert.ok(!eventsOf(ran).includes("message.settled"));
  });

  test("some delivered, some deferred, some rejected in one attempt: each ends right", async () => {
    const answers = {
      "bob@example.com": delivered(),
      "carol@example.com": deferred(),
      "dave@example.com": rejected(),
    };
    const ran = await runJob({ envelope: three, answers });
    assert.deepEqual(
      ran.settled.map(({ recipients, state }) => [recipients, state.kind]),
      [
        [[0], "delivered"],
        [[2], "failed"],
      ],
    );
    assert.equal(ran.next?.kind === "later" && ran.next.history.last[0]?.recipients[0], 1);
  });
});

describe("a delivery is recorded while the attempt goes on for the other recipients", () => {
  const facts = { destination: "example.com", tries: [], durationMs: 3 };
  /** The second host is asked about carol after bob has his mail. */
  const answers: Parameters<typeof runJob>[0]["answers"] = async (request) => {
    request.delivered?.(new Map([[0, delivered()]]), facts);
    await new Promise((resolve) => setImmediate(resolve));
    const outcomes = new Map([
      [0, delivered()],
      [1, deferred()],
    ]);
    return { kind: "tried", outcomes, facts };
  };

  test("once: it is settled and logged before the attempt ends, and not again", async () => {
    const recipients = [
      { address: "bob@example.com", notify: ["SUCCESS" as const] },
      ...two.recipients.slice(1),
    ];
    const ran = await runJob({ envelope: { recipients }, answers });
    assert.deepEqual(
      ran.settled.map((settlement) => settlement.recipients),
      [[0]],
    );
    assert.deepEqual(
      ran.bounces.map(({ job }) => job.kind),
      ["succeeded"],
    );
    assert.deepEqual(eventsOf(ran), ["delivery.attempt", "delivery.delivered", "delivery.deferred"]);
    assert.deepEqual(ran.next?.kind === "later" && ran.next.history.last[0]?.recipients, [1]);
  });

  test("at the end of the attempt, where the spool could not take it earlier", async () => {
    const ran = await runJob({ envelope: two, answers, failsAt: "settle" });
    assert.deepEqual(
      ran.settled.map((settlement) => settlement.recipients),
      [[0]],
    );
    assert.equal(ran.next?.kind, "later");
    assert.equal(eventsOf(ran).filter((event) => event === "delivery.delivered").length, 1);
  });
});

describe("what is settled is never tried again", () => {
  test("recipients that an earlier run delivered are skipped, and its states are read fresh", async () => {
    const ran = await runJob({ envelope: two, states: [[0, { kind: "delivered" }]], mayHaveRun: true });
    assert.deepEqual(ran.attempts[0]?.recipients, [1]);
    assert.equal(ran.steps[0], "states fresh");
  });

  test("a job whose recipients are all settled is done without an attempt", async () => {
    const ran = await runJob({
      envelope: two,
      states: [
        [0, { kind: "removed" }],
        [1, { kind: "bounced" }],
      ],
    });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.deepEqual(ran.attempts, []);
  });

  test("a message that the spool does not have any more ends its job", async () => {
    const ran = await runJob({ read: async () => undefined });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.deepEqual(ran.attempts, []);
  });

  for (const failsAt of ["settle", "bounce failed"]) {
    test(`ended at "${failsAt}", the next run does what is missing and no more`, async () => {
      const answers = { "bob@example.com": delivered(), "carol@example.com": rejected() };
      const first = await runJob({ envelope: two, answers, failsAt });
      assert.match(String(first.error), /ended at/);
      const second = await runJob({ envelope: two, answers, states: [...first.states], mayHaveRun: true });
      assert.deepEqual(second.next, { kind: "done" });
      assert.deepEqual(
        [...second.states.values()].map(({ kind }) => kind),
        ["delivered", "failed"],
      );
      assert.equal(second.bounces.length, 1);
      assert.deepEqual(second.attempts.length, failsAt === "settle" ? 1 : 0);
    });
  }

  test("ended before the dead queue had it, the next run puts it there", async () => {
    const first = await runJob({
      envelope: { reversePath: "" },
      answers: { "*": rejected() },
      failsAt: "dead",
    });
    assert.ok(first.error);
    const second = await runJob({
      envelope: { reversePath: "" },
      states: [...first.states],
      mayHaveRun: true,
    });
    assert.equal(second.dead.length, 1);
    assert.deepEqual(second.attempts, []);
  });
});

describe("mail without a sender, and senders that want no report", () => {
  test("RFC 5321 §4.5.5: refused mail of the null sender goes to dead, without a notification", async () => {
    const ran = await runJob({ envelope: { reversePath: "" }, answers: { "*": rejected() } });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.equal(ran.settled[0]?.state.kind, "dead");
    assert.equal(ran.dead[0]?.diagnosis?.status, "5.1.1");
    assert.equal(ran.dead[0]?.job.history?.attempts, 1, "operators see that it was tried");
    assert.deepEqual(ran.bounces, []);
    assert.ok(eventsOf(ran).includes("message.dead"));
  });

  test("with dsn_expire 0 a notification has one attempt", async () => {
    const config = { queue: { dsn_expire: 0 as const } };
    const ran = await runJob({ config, envelope: { reversePath: "" }, answers: { "*": deferred() } });
    assert.equal(ran.settled[0]?.state.kind, "dead");
  });

  test("RFC 3461 §4.1: NOTIFY=NEVER and NOTIFY=SUCCESS settle a failure without a notification", async () => {
    for (const notify of [[], ["SUCCESS" as const]]) {
      const envelope = { recipients: [{ address: "bob@example.com", notify }] };
      const ran = await runJob({ envelope, answers: { "*": rejected() } });
      assert.equal(ran.settled[0]?.state.kind, "bounced");
      assert.deepEqual(ran.bounces, []);
      assert.deepEqual(eventsOf(ran).slice(1), ["delivery.rejected", "message.settled"]);
    }
  });
});

describe("expiry", () => {
  test("an expired message fails with 5.4.7 and the last real reply", async () => {
    const job = { history: { attempts: 40, lastAttemptAtMs: receivedAtMs + 4 * day, last: [] } };
    const ran = await runJob({ ageMs: 5 * day, job, answers: { "*": deferred("mailbox busy") } });
    const state = ran.settled[0]?.state;
    assert.equal(state?.kind, "failed");
    assert.equal(state?.kind === "failed" && state.diagnosis.status, "5.4.7");
    assert.equal(state?.kind === "failed" && state.diagnosis.reply?.lines[0], "mailbox busy");
    assert.equal(ran.bounces.length, 1);
    assert.partialDeepStrictEqual(ran.events.at(-1), { event: "delivery.rejected", status: "5.4.7" });
  });
});

test("possiblyDelivered stays with the recipient that it is about, also where another failed in the same words", async () => {
  const lost = { status: "4.4.2" as const, class: "network" as const, reason: "lost", atMs: receivedAtMs };
  const ran = await runJob({
    ageMs: 5 * day,
    envelope: two,
    answers: {
      "bob@example.com": { kind: "deferred", diagnosis: lost },
      "carol@example.com": { kind: "deferred", diagnosis: { ...lost, possiblyDelivered: true } },
    },
  });
  const states = [0, 1].map((index) => ran.states.get(index));
  assert.deepEqual(
    states.map((state) => state?.kind === "failed" && state.diagnosis.possiblyDelivered === true),
    [false, true],
  );
});

describe("held and requeued mail keeps its whole time to live", () => {
  const answers = { "*": deferred() };

  test("time under a hold counts neither towards the expiry nor towards the delay warning", async () => {
    const ran = await runJob({ ageMs: 6 * day, job: { heldMs: 6 * day - hour }, answers });
    assert.equal(ran.next?.kind, "later");
    assert.deepEqual(ran.bounces, []);
    const later = await runJob({ ageMs: 6 * day, job: { heldMs: day }, answers });
    assert.partialDeepStrictEqual(later.settled[0]?.state, {
      kind: "failed",
      diagnosis: { status: "5.4.7" },
    });
  });

  test("mail that was requeued from the dead queue is tried as long as new mail", async () => {
    const job = { revivedAtMs: receivedAtMs + 14 * day };
    const envelope = { reversePath: "" };
    const ran = await runJob({ ageMs: 14 * day + hour, job, answers, envelope });
    assert.equal(ran.next?.kind, "later");
    const end = await runJob({ ageMs: 19 * day, job, answers, envelope });
    assert.equal(end.settled[0]?.state.kind, "dead");
  });
});

describe("the delay warning", () => {
  const job = { history: { attempts: 7, lastAttemptAtMs: receivedAtMs + 3.5 * hour, last: [] } };
  const answers = { "*": deferred() };

  test("is recorded as pending once it is due, with the time until which we try, before its bounce job, which waits for the aggregation window", async () => {
    const ran = await runJob({ ageMs: 4 * hour, job, answers });
    assert.ok(ran.steps.indexOf("settle") < ran.steps.indexOf("bounce delayed"));
    assert.deepEqual(
      [...ran.states],
      [
        [
          0,
          {
            kind: "pending",
            delay: { diagnosis: busy("try later"), willRetryUntilMs: receivedAtMs + 5 * day },
          },
        ],
      ],
    );
    assert.partialDeepStrictEqual(ran.bounces, [{ delayMs: 1000, job: { kind: "delayed" } }]);
    assert.equal(ran.next?.kind, "later");
  });

  test("RFC 3461 §4.1: only for recipients with NOTIFY=DELAY or without NOTIFY", async () => {
    const recipients = [
      { address: "a@example.com", notify: ["FAILURE" as const] },
      { address: "b@example.com", notify: ["DELAY" as const] },
      { address: "c@example.com" },
      { address: "d@example.com", notify: [] },
    ];
    const ran = await runJob({ ageMs: 4 * hour, job, answers, envelope: { recipients } });
    assert.deepEqual([...ran.states.keys()], [1, 2]);
  });

  test("never for the null sender", async () => {
    const ran = await runJob({ ageMs: 4 * hour, job, answers, envelope: { reversePath: "" } });
    assert.deepEqual(ran.bounces, []);
  });

  test("that was recorded is enqueued again by the next run, in case that this one ended there; once the sender was warned, none follows", async () => {
    const recipients = [
      { address: "a@example.com" },
      { address: "b@example.com", notify: ["FAILURE" as const] },
    ];
    const first = await runJob({ ageMs: 4 * hour, job, answers, envelope: { recipients } });
    const later = { ageMs: 5 * hour, answers, envelope: { recipients }, mayHaveRun: true };
    const second = await runJob({ ...later, states: [...first.states] });
    assert.equal(second.bounces.length, 1);
    assert.deepEqual(second.states, first.states);
    const again = await runJob({ ...later, states: [[0, { kind: "pending", warned: true }]] });
    assert.deepEqual(again.bounces, []);
    assert.equal(again.states.size, 1);
    assert.equal(again.next?.kind, "later");
    assert.deepEqual(again.attempts[0]?.recipients, [0, 1], "a recipient with a warning is still tried");
  });

  test("when it cannot be enqueued, the job is repeated and not deferred without it", async () => {
    const ran = await runJob({ ageMs: 4 * hour, job, answers, failsAt: "bounce delayed" });
    assert.ok(ran.error);
  });
});

describe("RFC 3461 §5.2.2: NOTIFY=SUCCESS", () => {
  const recipients = [{ address: "bob@example.com", notify: ["SUCCESS" as const] }];

  test("is reported as relayed when the next server does not offer DSN, after the delivery is recorded", async () => {
    const ran = await runJob({ envelope: { recipients } });
    assert.deepEqual(ran.steps, ["states", "attempt", "settle", "bounce succeeded", "states fresh"]);
    assert.partialDeepStrictEqual(ran.settled, [
      { recipients: [0], state: { kind: "delivered", success: { kind: "relayed" } } },
    ]);
    assert.ok(!eventsOf(ran).includes("message.settled"), "it is settled when the sender has heard of it");
  });

  test("is left to the next server when that offers DSN", async () => {
    const ran = await runJob({
      envelope: { recipients },
      answers: { "*": delivered({ dsnPassedOn: true }) },
    });
    assert.deepEqual(ran.bounces, []);
  });

  test("RFC 5321 §4.5.5: is never reported to the null sender", async () => {
    const ran = await runJob({ envelope: { reversePath: "", recipients } });
    assert.deepEqual(ran.bounces, []);
  });

  test("is enqueued by the next run of a job that ended before it was", async () => {
    const outcome = delivered();
    assert.ok(outcome.kind === "delivered");
    const { reply, remote } = outcome;
    const success = { kind: "relayed" as const, reply, remote, atMs: 1 };
    const ran = await runJob({
      envelope: { recipients },
      states: [[0, { kind: "delivered", success }]],
      mayHaveRun: true,
    });
    assert.deepEqual(ran.attempts, []);
    assert.deepEqual(
      ran.bounces.map(({ job, delayMs }) => [job.kind, delayMs]),
      [["succeeded", 0]],
    );
  });

  test("survives a Redis that is away: the job is repeated, and the spool remembers what it reports", async () => {
    const ran = await runJob({ envelope: { recipients }, failsAt: "bounce succeeded" });
    assert.ok(ran.error);
    const again = await runJob({ envelope: { recipients }, states: [...ran.states], mayHaveRun: true });
    assert.deepEqual([again.attempts.length, again.bounces.length], [0, 1]);
  });
});

describe("routes are computed at each attempt", () => {
  test("recipients that a new configuration sends to different next hops get an attempt each, in the same job", async () => {
    const recipients = [
      { address: "a@one.example" },
      { address: "b@two.example" },
      { address: "c@one.example" },
    ];
    const answers = { "b@two.example": deferred() };
    const ran = await runJob({ envelope: { recipients }, answers });
    assert.deepEqual(
      ran.attempts.map((attempt) => attempt.recipients),
      [[0, 2], [1]],
    );
    assert.deepEqual(
      ran.settled.map((settlement) => settlement.recipients),
      [[0, 2]],
    );
    assert.equal(ran.next?.kind, "later");
  });

  test("relay.backup takes over after its time, and its refusal is final", async () => {
    const config = {
      relay: {
        hosts: { isp: { host: "smtp.isp.example" } },
        backup: { via: "isp", after: "1h", on: ["4xx" as const, "5xx" as const] },
      },
    };
    const isp = { host: "smtp.isp.example", port: 25, name: "isp", tls: "may" as const };
    const backup = { kind: "relay" as const, relay: isp };
    const router = { backup: () => backup };
    const diagnosis = busy();
    const job = {
      history: { attempts: 4, lastAttemptAtMs: receivedAtMs, last: [{ recipients: [0], diagnosis }] },
    };
    const early = await runJob({ config, router, job, ageMs: 0.5 * hour, answers: { "*": deferred() } });
    assert.equal(early.attempts[0]?.nextHop.kind, "mx");
    const late = await runJob({ config, router, job, ageMs: hour, answers: { "*": rejected() } });
    assert.deepEqual(late.attempts[0]?.nextHop, backup);
    assert.equal(late.settled[0]?.state.kind, "failed");
    assert.equal(
      late.events.find(({ event }) => event === "delivery.rejected")?.nextHop,
      "isp (smtp.isp.example:25)",
    );
  });

  test("mail for protected servers never takes the backup: it would come back to us", async () => {
    const config = {
      relay: { hosts: { isp: { host: "smtp.isp.example" } }, backup: { via: "isp", after: 0 as const } },
    };
    const own = { kind: "servers" as const, servers: [{ host: "203.0.113.25", port: 25 }], hide: false };
    const isp = { host: "smtp.isp.example", port: 25, name: "isp", tls: "may" as const };
    const router = {
      route: () => ({ row: "to-protected" as const, nextHop: own }),
      backup: () => ({ kind: "relay" as const, relay: isp }),
    };
    const diagnosis = busy();
    const job = {
      history: { attempts: 4, lastAttemptAtMs: receivedAtMs, last: [{ recipients: [0], diagnosis }] },
    };
    const ran = await runJob({ config, router, job, ageMs: hour });
    assert.deepEqual(ran.attempts[0]?.nextHop, own);
  });

  test("while all recipients wait for the backup nothing is tried and nothing counted", async () => {
    const config = {
      relay: {
        hosts: { isp: { host: "smtp.isp.example" } },
        backup: { via: "isp", after: "1h", on: ["5xx" as const] },
      },
    };
    const isp = { host: "smtp.isp.example", port: 25, name: "isp", tls: "may" as const };
    const router = { backup: () => ({ kind: "relay" as const, relay: isp }) };
    const diagnosis = refusal();
    const job = {
      history: { attempts: 1, lastAttemptAtMs: receivedAtMs, last: [{ recipients: [0], diagnosis }] },
    };
    const ran = await runJob({ config, router, job, ageMs: 0.25 * hour });
    assert.deepEqual(ran.next, { kind: "postponed", atMs: receivedAtMs + hour });
    assert.deepEqual(ran.attempts, []);
  });
});

describe("attempts that did not take place", () => {
  const fullUntil = (retryAtMs: number) => () =>
    ({ kind: "full", destination: "example.com", reason: "20 connections are open", retryAtMs }) as const;

  test("a full destination postpones the job, nothing is counted, and the job says why", async () => {
    const retryAtMs = receivedAtMs + 7000;
    const ran = await runJob({ answers: fullUntil(retryAtMs) });
    assert.ok(ran.next?.kind === "later");
    const { atMs, queue, history } = ran.next;
    assert.deepEqual(
      [atMs, queue, history.attempts, history.lastAttemptAtMs, history.last[0]?.diagnosis.reason],
      [retryAtMs, "delivery", 0, undefined, "20 connections are open"],
    );
    assert.deepEqual(ran.settled, []);
    const again = await runJob({ answers: fullUntil(retryAtMs), job: { history } });
    assert.deepEqual(again.next, { kind: "postponed", atMs: retryAtMs });
  });

  test("the sender of mail that waits for a connection is warned of the delay once", async () => {
    const config = { queue: { delay_warning: "4h" } } as const;
    const given = { config, ageMs: 5 * hour, answers: fullUntil(receivedAtMs + 6 * hour) };
    const ran = await runJob(given);
    assert.deepEqual(
      ran.settled.map(({ state }) => state.kind === "pending" && state.delay?.diagnosis.reason),
      ["20 connections are open"],
    );
    assert.deepEqual(
      ran.bounces.map(({ job }) => job.kind),
      ["delayed"],
    );
    const warned = await runJob({ ...given, states: [[0, { kind: "pending", warned: true }]] });
    assert.deepEqual([warned.settled, warned.bounces], [[], []]);
  });

  test("but a message does not wait for a connection longer than it lives", async () => {
    const ran = await runJob({
      ageMs: 5 * day,
      answers: () => ({
        kind: "full",
        destination: "example.com",
        reason: "20 connections are open",
        retryAtMs: 0,
      }),
    });
    const state = ran.settled[0]?.state;
    assert.equal(state?.kind === "failed" && state.diagnosis.status, "5.4.7");
  });

  test("an interrupted attempt does not count; a delivery before the interruption is recorded", async () => {
    const stop = new AbortController();
    const facts = { destination: "example.com", tries: [], durationMs: 1 };
    const ran = await runJob({
      envelope: two,
      signal: stop.signal,
      answers: () => {
        stop.abort();
        return {
          kind: "tried",
          outcomes: new Map([
            [0, delivered()],
            [1, deferred()],
          ]),
          facts,
        };
      },
    });
    assert.deepEqual(
      ran.settled.map(({ recipients }) => recipients),
      [[0]],
    );
    assert.equal(ran.next?.kind === "later" && ran.next.atMs <= receivedAtMs + 1100, true);
    const alone = await runJob({
      signal: AbortSignal.abort(),
      answers: () => ({ kind: "tried", outcomes: new Map([[0, deferred()]]), facts }),
    });
    assert.equal(alone.next?.kind, "postponed");
    assert.deepEqual(alone.settled, []);
  });
});

describe("our own faults", () => {
  test("a defect in an attempt defers the mail on its schedule; it neither spins nor is lost", async () => {
    const ran = await runJob({ answers: () => Promise.reject(new TypeError("a defect")) });
    assert.equal(ran.next?.kind, "later");
    assert.equal(ran.next?.kind === "later" && ran.next.history.last[0]?.diagnosis.class, "local");
  });

  test("a message with a damaged body is returned to its sender, without an attempt", async () => {
    const read = () => Promise.reject(new SpoolCorrupt("the body does not match its checksum"));
    const ran = await runJob({ envelope: two, states: [[0, { kind: "delivered" }]], read });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.deepEqual(ran.attempts, []);
    assert.partialDeepStrictEqual(ran.settled, [
      { recipients: [1], state: { kind: "failed", diagnosis: { status: "5.3.0", class: "local" } } },
    ]);
    assert.deepEqual(
      ran.bounces.map(({ job }) => job.kind),
      ["failed"],
    );
    assert.deepEqual(ran.dead, []);
    assert.ok(eventsOf(ran).includes("delivery.rejected"));
  });

  test("a message of the null sender with a damaged body is dead: nobody can be notified", async () => {
    const read = () => Promise.reject(new SpoolCorrupt("the body does not match its checksum"));
    const ran = await runJob({ envelope: { reversePath: "" }, read });
    assert.partialDeepStrictEqual(ran.settled, [{ recipients: [0], state: { kind: "dead" } }]);
    assert.equal(ran.dead.length, 1);
  });

  test("a message whose envelope is damaged is dead, in the spool too, and is logged as an error", async () => {
    const damaged = () => Promise.reject(new SpoolCorrupt("the envelope does not match its checksum", 3));
    const states: [number, RecipientState][] = [[1, { kind: "delivered" }]];
    const ran = await runJob({ envelope: three, states, read: damaged, readMeta: damaged });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.match(ran.dead[0]?.reason ?? "", /envelope does not match/);
    assert.partialDeepStrictEqual(ran.settled, [{ recipients: [0, 2], state: { kind: "dead" } }]);
    assert.equal(ran.events[0]?.level, 50);
  });

  test("a message whose body is found damaged during the attempt is returned to its sender", async () => {
    const ran = await runJob({ answers: () => Promise.reject(new SpoolCorrupt("cut short")) });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.equal(ran.settled[0]?.state.kind, "failed");
    assert.deepEqual(ran.dead, []);
  });

  test("a message that can never be read is repeated until it expires, and is then returned", async () => {
    const read = () => Promise.reject(new SpoolUnavailable("EIO: i/o error, read"));
    const young = await runJob({ read, ageMs: day });
    assert.ok(young.error instanceof SpoolUnavailable);
    assert.deepEqual(young.settled, []);
    const old = await runJob({ read, ageMs: 5 * day });
    assert.deepEqual(old.next, { kind: "done" });
    assert.partialDeepStrictEqual(old.settled, [
      { recipients: [0], state: { kind: "failed", diagnosis: { status: "5.3.0" } } },
    ]);
    const held = await runJob({ read, ageMs: 5 * day, job: { heldMs: hour } });
    assert.ok(held.error, "the time under a hold does not count");
    const stopping = await runJob({ read, ageMs: 5 * day, signal: AbortSignal.abort() });
    assert.ok(stopping.error, "a worker that stops gives nothing up");
  });

  test("a message whose envelope can never be read is dead once it has expired", async () => {
    const read = () => Promise.reject(new SpoolUnavailable("EIO: i/o error, read"));
    const ran = await runJob({ read, readMeta: read, ageMs: 5 * day });
    assert.deepEqual(ran.next, { kind: "done" });
    assert.deepEqual(ran.dead[0]?.job.to, ["bob@example.com"]);
  });

  test("when the spool fails nothing is decided: the job is repeated", async () => {
    const ran = await runJob({ failsAt: "settle" });
    assert.ok(ran.error);
    assert.equal(ran.next, undefined);
  });
});

test("a message of several jobs is settled when the last of them is, whichever worker has it", async () => {
  const parts = [[0], [1]];
  const first = await runJob({ envelope: two, parts });
  assert.ok(!eventsOf(first).includes("message.settled"));
  const second = await runJob({ envelope: two, parts, job: { part: 1 }, states: [...first.states] });
  assert.ok(eventsOf(second).includes("message.settled"));
  assert.deepEqual(second.attempts[0]?.recipients, [1]);
});
