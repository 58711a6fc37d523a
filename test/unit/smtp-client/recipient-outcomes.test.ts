import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred, type Failure, outcomeOfRefusal, rejected } from "../../../shared/smtp/diagnose.ts";
import type { SmtpCommandName } from "../../../shared/smtp/status.ts";
import { isFinal, RecipientOutcomes } from "../../../shared/smtp-client/recipient-outcomes.ts";
import { summary } from "../../support/smtp-client-fixture.ts";

const remote = { host: "mx.example.org", address: "192.0.2.25", port: 25 };
const refusal = (code: number, command: SmtpCommandName) =>
  outcomeOfRefusal({ code, lines: [""], command }, remote, 1);
const down = deferred("connect", "4.4.1", "down", 1, remote);
const unfit = rejected("5xx", "5.6.7", "no SMTPUTF8", 1, remote);
const otherwise = (): Failure => deferred("local", "4.3.2", "not asked", 1);

test("5xx to a mail command is final, a refusal of the session is not", () => {
  for (const command of ["MAIL", "RCPT", "DATA", "DOT"] as const) {
    assert.ok(isFinal(refusal(550, command)), command);
    assert.ok(!isFinal(refusal(450, command)), command);
  }
  assert.ok(!isFinal(refusal(521, "CONNECT")));
  assert.ok(!isFinal(unfit), "another host may offer the extension");
  assert.ok(!isFinal(down));
});

test("a message that may have arrived is not given to another host (RFC 1047)", () => {
  const lost = deferred("network", "4.4.2", "lost", 1, remote);
  lost.diagnosis.possiblyDelivered = true;
  assert.ok(isFinal(lost));
});

test("a local failure is final: no other host can change it", () => {
  assert.ok(isFinal(deferred("local", "4.3.0", "the spool", 1)));
});

const summaryAfter = (...failures: Failure[]) => {
  const recipientOutcomes = new RecipientOutcomes([0]);
  for (const failure of failures) recipientOutcomes.add(0, failure);
  return summary(recipientOutcomes.conclude(otherwise).get(0));
};

test("what a server said outweighs that another host could not be asked, in either order", () => {
  const greylisted = refusal(450, "RCPT");
  assert.equal(summaryAfter(greylisted, down), "deferred 4.2.0 4xx");
  assert.equal(summaryAfter(down, greylisted), "deferred 4.2.0 4xx");
  assert.equal(summaryAfter(greylisted, refusal(451, "DATA"), down), "deferred 4.3.0 4xx");
  const refused = refusal(521, "CONNECT");
  assert.equal(summaryAfter(refused, unfit), "rejected 5.3.2 5xx");
  assert.equal(summaryAfter(refused, down), "deferred 4.4.1 connect", "the host that is down may take mail");
});

test("the last host's outcome counts, but a deferral outweighs the rejection of a host that lacks an extension", () => {
  assert.equal(summaryAfter(unfit), "rejected 5.6.7 5xx");
  assert.equal(summaryAfter(unfit, down), "deferred 4.4.1 connect");
  assert.equal(summaryAfter(down, unfit), "deferred 4.4.1 connect");
  assert.equal(summaryAfter(down, refusal(450, "RCPT")), "deferred 4.2.0 4xx");
});

test("every recipient has exactly one outcome", () => {
  const recipientOutcomes = new RecipientOutcomes([3, 1, 2]);
  recipientOutcomes.add(1, refusal(550, "RCPT"));
  assert.deepEqual(recipientOutcomes.pending, [3, 2]);
  assert.ok(recipientOutcomes.hasFinal && !recipientOutcomes.isComplete);
  recipientOutcomes.add(3, down);
  const outcomes = recipientOutcomes.conclude(otherwise);
  assert.deepEqual(
    [1, 2, 3].map((recipient) => summary(outcomes.get(recipient))),
    ["rejected 5.0.0 5xx", "deferred 4.3.2 local", "deferred 4.4.1 connect"],
  );
});
