import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decideGroup, type GroupResult } from "../../../services/delivery/decide-group.ts";
import { noEffects } from "../../../services/delivery/effects.ts";
import type { Interruption } from "../../../shared/runtime/interruption.ts";
import type { Outcome } from "../../../shared/smtp/diagnosis.ts";
import { isSettled } from "../../../shared/spool/recipient-state.ts";
import { SpoolCorrupt } from "../../../shared/spool/spool.ts";
import { testConfig } from "../../support/config.ts";
import {
  busy,
  deferred,
  delivered,
  type Given,
  groupOf,
  loadedJob,
  receivedAtMs,
  refusal,
  rejected,
} from "./worker-fixture.ts";

const day = 86_400_000;
const nowMs = receivedAtMs + 1000;
const two = { recipients: [{ address: "bob@example.com" }, { address: "carol@example.com" }] };
const facts = { destination: "example.com", tries: [], durationMs: 3 };
const full: GroupResult = {
  kind: "full",
  destination: "example.com",
  reason: "20 connections are open",
  retryAtMs: nowMs + 7000,
};

function tried(outcomes: Record<number, Outcome>, interruption?: Interruption): GroupResult {
  const entries = Object.entries(outcomes).map(([index, outcome]) => [Number(index), outcome] as const);
  return { kind: "tried", outcomes: new Map(entries), facts, interruption };
}

function decide(given: Given, result: GroupResult, atMs = nowMs) {
  const loaded = loadedJob(given);
  return decideGroup(loaded, groupOf([...loaded.recipients]), result, testConfig(given.config), atMs, 0.5);
}

describe("an attempt", () => {
  test("that delivered to one recipient and was refused for another records both, and makes one notification pending", () => {
    const { effects, step } = decide({ envelope: two }, tried({ 0: delivered(), 1: rejected() }));
    assert.deepEqual(
      effects.settlements.map(({ recipients, state }) => [recipients, state.kind]),
      [
        [[0], "delivered"],
        [[1], "failed"],
      ],
    );
    assert.deepEqual(effects.notifications, ["failed"]);
    assert.equal(effects.deadJob, undefined);
    assert.equal(step?.retry, undefined);
    assert.deepEqual(
      effects.measurements.map(({ kind }) => kind),
      ["attempt", "outcome", "outcome"],
    );
  });

  test("that deferred everything records nothing, and says in the log when the next one is", () => {
    const { effects, step } = decide({}, tried({ 0: deferred() }));
    assert.deepEqual(effects.settlements, []);
    assert.deepEqual(effects.notifications, []);
    assert.equal(step?.retry?.atMs, nowMs + 300_000);
    assert.equal(effects.logLines[0]?.fields.nextAttemptAt, new Date(nowMs + 300_000).toISOString());
  });

  test("that a defect of ours ended defers the recipients without an outcome", () => {
    const { step } = decide({ envelope: two }, tried({ 0: delivered() }));
    assert.deepEqual(step?.delivered, [0]);
    assert.equal(step?.retry?.history.last[0]?.diagnosis.status, "4.3.0");
  });

  test("that was interrupted counts for answered recipients only; the others keep what was known of them", () => {
    const history = { attempts: 1, last: [{ recipients: [1], diagnosis: busy("greylisted") }] };
    const { effects, untried } = decide(
      { envelope: two, job: { history } },
      tried({ 0: delivered(), 1: deferred() }, "stopping"),
    );
    assert.deepEqual(
      effects.settlements.map(({ recipients }) => recipients),
      [[0]],
    );
    assert.deepEqual([...untried], [[1, { untilMs: nowMs, last: busy("greylisted") }]]);
  });

  test("that a stop interrupted behind the final dot counts: the message may have arrived, and is not sent again at once", () => {
    const cut: Outcome = { kind: "deferred", diagnosis: { ...busy("stopped"), possiblyDelivered: true } };
    const { step, untried } = decide({ envelope: two }, tried({ 0: cut, 1: deferred() }, "stopping"));
    assert.deepEqual([...untried], []);
    assert.equal(step?.retry?.atMs, nowMs + 300_000);
    assert.equal(step?.retry?.history.attempts, 1);
  });

  test("that ended because another worker has the job is not counted, though the message may have arrived", () => {
    const cut: Outcome = { kind: "deferred", diagnosis: { ...busy("stopped"), possiblyDelivered: true } };
    const { step, untried } = decide({}, tried({ 0: cut }, "lost"));
    assert.equal(step, undefined);
    assert.deepEqual([...untried.keys()], [0]);
  });

  test("of mail from the null sender that is refused leads to one dead job, which shows the attempt (RFC 5321 §4.5.5)", () => {
    const { effects } = decide(
      { envelope: { ...two, reversePath: "" } },
      tried({
        0: rejected(),
        1: { kind: "rejected", diagnosis: { ...refusal(), reason: "mailbox full" } },
      }),
    );
    assert.deepEqual(effects.notifications, []);
    assert.equal(effects.deadJob?.reason, "no such user");
    assert.equal(effects.deadJob?.job.history?.attempts, 1);
    assert.deepEqual(
      effects.logLines.map(({ level, fields }) => [level, fields.event]),
      [
        ["info", "delivery.rejected"],
        ["info", "delivery.rejected"],
        ["warn", "message.dead"],
        ["warn", "message.dead"],
      ],
    );
  });

  test("reports success for recipients with NOTIFY=SUCCESS whose server will not report it itself, and for no others (RFC 3461 §5.2.2)", () => {
    const recipients = [
      { address: "a@example.com", notify: ["SUCCESS" as const] },
      { address: "b@example.com", notify: ["SUCCESS" as const] },
      { address: "c@example.com" },
    ];
    const outcomes = { 0: delivered(), 1: delivered({ dsnPassedOn: true }), 2: delivered() };
    const { effects } = decide({ envelope: { recipients } }, tried(outcomes));
    assert.partialDeepStrictEqual(effects.settlements, [
      { recipients: [1, 2], state: { kind: "delivered" } },
      {
        recipients: [0],
        state: { kind: "delivered", success: { kind: "relayed" } },
      },
    ]);
    assert.deepEqual(
      effects.settlements.map(({ state }) => isSettled(state)),
      [true, false],
    );
    assert.deepEqual(effects.notifications, ["succeeded"]);
  });
});

describe("a full destination", () => {
  test("leaves its recipients untried until it may have room, and is counted as full alone", () => {
    const history = { attempts: 1, last: [{ recipients: [0], diagnosis: busy() }] };
    const { effects, step, untried } = decide({ job: { history } }, full);
    assert.equal(step, undefined);
    assert.deepEqual([...untried], [[0, { untilMs: nowMs + 7000, last: busy() }]]);
    assert.deepEqual(effects, { ...noEffects, measurements: [{ kind: "full" }] });
  });

  test("says why mail waits that was never tried, and the later reason when it changes", () => {
    const congested = (reason: string) => ({ status: "4.4.5", class: "local", reason, atMs: nowMs });
    const { untried } = decide({}, full);
    assert.deepEqual([...untried], [[0, { untilMs: nowMs + 7000, last: congested(full.reason) }]]);
    const history = { attempts: 0, last: [{ recipients: [0], diagnosis: busy() }] };
    const later = decide({ job: { history } }, { ...full, reason: "rate 1/10m" }).untried;
    assert.equal(later.get(0)?.last?.reason, "rate 1/10m");
  });

  test("does not put off the delay warning or the expiry, however late it has room", () => {
    const full4h: GroupResult = { ...full, retryAtMs: receivedAtMs + 30 * day };
    const config = { queue: { delay_warning: "4h", expire: "5d" } } as const;
    const warningAtMs = receivedAtMs + day / 6;
    assert.equal(decide({ config }, full4h).untried.get(0)?.untilMs, warningAtMs);
    const late = decide({ config }, full4h, warningAtMs).untried.get(0);
    assert.deepEqual([late?.untilMs, late?.warn], [receivedAtMs + 5 * day, true]);
    const fromNobody = decide({ config, envelope: { reversePath: "" } }, full4h, warningAtMs).untried.get(0);
    assert.equal(fromNobody?.warn, undefined, "the null sender is never warned");
  });

  test("does not keep mail longer than it lives: it expires with its last diagnosis, or with congestion where there is none (RFC 3463 §3.5)", () => {
    const unknown = decide({}, full, receivedAtMs + 5 * day).step?.failed[0]?.diagnosis;
    assert.equal(unknown?.status, "5.4.7");
    assert.match(unknown?.reason ?? "", /20 connections are open/);
    const history = { attempts: 9, last: [{ recipients: [0], diagnosis: busy("greylisted") }] };
    const known = decide({ job: { history } }, full, receivedAtMs + 5 * day).step?.failed[0]?.diagnosis;
    assert.match(known?.reason ?? "", /greylisted/);
  });

  test("does not take its one attempt from mail that has no more (dsn_expire 0)", () => {
    const given: Given = { config: { queue: { dsn_expire: 0 as const } }, envelope: { reversePath: "" } };
    assert.equal(decide(given, full).step, undefined);
  });
});

test("a message whose body is damaged fails with 5.3.0 for the whole group: its sender hears of it", () => {
  const error = new SpoolCorrupt("cut short in /data/spool/large/x");
  const { effects, step, untried } = decide({ envelope: two }, { kind: "damaged", error });
  assert.equal(untried.size, 0);
  assert.deepEqual(
    step?.failed.map(({ recipient, diagnosis }) => [recipient, diagnosis.status]),
    [
      [0, "5.3.0"],
      [1, "5.3.0"],
    ],
  );
  assert.partialDeepStrictEqual(effects.settlements, [{ recipients: [0, 1], state: { kind: "failed" } }]);
  assert.deepEqual(effects.notifications, ["failed"]);
  assert.equal(effects.deadJob, undefined);
  assert.doesNotMatch(JSON.stringify(effects.settlements), /data/, "the sender reads no path of ours");
});
