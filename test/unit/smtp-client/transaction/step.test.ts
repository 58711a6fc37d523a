import assert from "node:assert/strict";
import { test } from "node:test";
import type { SmtpReply } from "../../../../shared/smtp/status.ts";
import type { Heard } from "../../../../shared/smtp-client/session/connection.ts";
import {
  isTooManyRecipients,
  readStep,
  type Step,
  type StepResult,
  steps,
} from "../../../../shared/smtp-client/transaction/step.ts";
import { summary } from "../../../support/smtp-client-fixture.ts";

const remote = { host: "mx.example.org", address: "192.0.2.25", port: 25 };
const everyStep = Object.keys(steps) as Step[];

function replied(step: Step, code: number): Heard {
  return { kind: "reply", reply: { code, lines: [""], command: steps[step].command } };
}

const lost: Heard = {
  kind: "lost",
  disconnectReason: { kind: "closed", reason: "it closed the connection" },
};

function brief(result: StepResult): string {
  return result.kind === "accepted" ? "accepted" : `${result.kind}: ${summary(result.outcome)}`;
}

function possiblyDelivered(result: StepResult): boolean {
  return result.kind === "ended" && result.outcome.diagnosis.possiblyDelivered === true;
}

const briefOf = (step: Step, code: number) => brief(readStep(step, replied(step, code), remote, 1));

test("each step accepts its own replies, and ends the session for any other 2xx or 3xx", () => {
  const outOfStep = "ended: deferred 4.5.0 network";
  for (const step of ["mail", "rcpt", "dot"] as const) {
    for (const code of [250, 251, 252]) assert.equal(briefOf(step, code), "accepted", step);
    for (const code of [334, 354]) assert.equal(briefOf(step, code), outOfStep, step);
  }
  assert.equal(briefOf("data", 354), "accepted");
  for (const code of [220, 250, 334, 350]) assert.equal(briefOf("data", code), outOfStep);
  for (const step of ["between", "body"] as const) {
    for (const code of [220, 250, 354]) assert.equal(briefOf(step, code), outOfStep, step);
  }
});

test("4xx and 5xx refuse a step, and leave the session in order between commands only", () => {
  for (const step of ["mail", "rcpt", "data", "dot"] as const) {
    assert.equal(briefOf(step, 451), "refused: deferred 4.3.0 4xx");
    assert.equal(briefOf(step, 554), "refused: rejected 5.0.0 5xx");
  }
  assert.equal(briefOf("body", 451), "ended: deferred 4.3.0 4xx");
  assert.equal(briefOf("body", 554), "ended: rejected 5.0.0 5xx");
});

test("a refusal that no command asked for rejects no recipient", () => {
  for (const code of [451, 554]) assert.equal(briefOf("between", code), "ended: deferred 4.5.0 network");
});

test("421 and a lost connection end the session at every step (RFC 5321 §3.8)", () => {
  for (const step of everyStep) {
    assert.equal(briefOf(step, 421), "ended: deferred 4.3.2 4xx", step);
    assert.equal(brief(readStep(step, lost, remote, 1)), "ended: deferred 4.4.2 network", step);
  }
});

test("a message is possibly delivered when its dot has no answer, and at no other step (RFC 1047)", () => {
  for (const step of everyStep) {
    assert.equal(possiblyDelivered(readStep(step, lost, remote, 1)), step === "dot", step);
    assert.equal(possiblyDelivered(readStep(step, replied(step, 334), remote, 1)), step === "dot", step);
    assert.ok(!possiblyDelivered(readStep(step, replied(step, 421), remote, 1)), step);
  }
});

test("the outcome of a lost connection names the step and the server", () => {
  const result = readStep("rcpt", lost, remote, 1);
  assert.ok(result.kind === "ended");
  assert.equal(
    result.outcome.diagnosis.reason,
    "lost the session with mx.example.org [192.0.2.25] while sending RCPT TO: it closed the connection",
  );
  assert.deepEqual(result.outcome.diagnosis.remote, remote);
});

test("452 and 552 say that there are too many recipients, unless they speak of the mailbox or the size", () => {
  const says = (code: number, enhanced?: SmtpReply["enhanced"]) =>
    isTooManyRecipients({ code, lines: [""], command: "RCPT", ...(enhanced && { enhanced }) });
  for (const code of [452, 552]) {
    assert.ok(says(code));
    assert.ok(says(code, "5.5.3") && says(code, "4.3.1") && says(code, "5.3.0"));
    assert.ok(!says(code, "5.2.2") && !says(code, "4.2.1") && !says(code, "5.3.4"));
  }
  assert.ok(!says(450) && !says(550, "5.5.3"));
});
