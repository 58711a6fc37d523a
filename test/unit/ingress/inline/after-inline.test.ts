import assert from "node:assert/strict";
import { test } from "node:test";
import { afterInline } from "../../../../services/ingress/inline/after-inline.ts";
import { passedOn, refusalOf } from "../../../../services/ingress/inline/far-reply.ts";
import type { Envelope } from "../../../../shared/mail/envelope.ts";
import type { Diagnosis, Outcome } from "../../../../shared/smtp/diagnosis.ts";

const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };
const delivered = (dsnPassedOn = true): Outcome => ({
  kind: "delivered",
  reply: { code: 250, lines: ["ok"], command: "DOT" },
  remote,
  dsnPassedOn,
});
const diagnosis: Diagnosis = { status: "5.7.1", class: "5xx", reason: "no", atMs: 0 };
const rejected: Outcome = { kind: "rejected", diagnosis };
const deferred: Outcome = { kind: "deferred", diagnosis: { ...diagnosis, status: "4.7.1", class: "4xx" } };

function envelope(...notify: ("SUCCESS" | undefined)[]): Envelope {
  const recipients = notify.map((event, n) => ({
    address: `u${n}@example.com`,
    ...(event === undefined ? {} : { notify: [event] }),
  }));
  return { reversePath: "me@example.org", recipients };
}
const three = envelope(undefined, undefined, undefined);

for (const [name, given, inline, outcome, expected] of [
  ["all delivered", three, [0, 1, 2], delivered(), { kind: "delivered" }],
  ["some delivered", three, [0, 2], delivered(), { kind: "stored", queued: [1], reported: [] }],
  ["all refused", three, [0, 1, 2], rejected, { kind: "refused", diagnosis }],
  ["some refused", three, [1], rejected, { kind: "stored", queued: [0, 1, 2], reported: [] }],
  ["deferred", three, [0, 1, 2], deferred, { kind: "stored", queued: [0, 1, 2], reported: [] }],
  ["nobody taken", three, [], deferred, { kind: "stored", queued: [0, 1, 2], reported: [] }],
  ["SUCCESS, reported by the server", envelope("SUCCESS"), [0], delivered(), { kind: "delivered" }],
  [
    "SUCCESS, reported by nobody else",
    envelope(undefined, "SUCCESS"),
    [0, 1],
    delivered(false),
    { kind: "stored", queued: [], reported: [1] },
  ],
  [
    "SUCCESS of the null sender",
    { ...envelope("SUCCESS"), reversePath: "" },
    [0],
    delivered(false),
    { kind: "delivered" },
  ],
] as [string, Envelope, number[], Outcome, ReturnType<typeof afterInline>][]) {
  test(`after inline delivery: ${name}`, () => {
    assert.deepEqual(afterInline(given, inline, outcome), expected);
  });
}

test("a far reply passes with code, status and text, on one line that fits (RFC 5321 §4.5.3.1.5)", () => {
  const reply = {
    code: 550,
    enhanced: "5.1.1" as const,
    lines: ["no such", "user here"],
    command: "RCPT" as const,
  };
  assert.equal(passedOn(reply).wire, "550 5.1.1 no such user here\r\n");
  assert.equal(
    passedOn({ code: 550, lines: [""], command: "RCPT" }).wire,
    "550 5.0.0 No reason was given\r\n",
  );
  const long = passedOn({ ...reply, lines: Array(50).fill("x".repeat(1000)) });
  assert.ok(Buffer.byteLength(long.wire) <= 512);
});

test("a refusal that no server said has the code of its status", () => {
  for (const [status, code] of [
    ["5.3.4", 552],
    ["5.6.7", 553],
    ["5.6.3", 554],
  ] as const) {
    assert.equal(refusalOf({ ...diagnosis, status }).code, code);
  }
});
