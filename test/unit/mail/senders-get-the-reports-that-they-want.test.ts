import assert from "node:assert/strict";
import { test } from "node:test";
import type { NotifyEvent } from "../../../shared/mail/envelope.ts";
import { formatNotify, isReturnable, parseNotify, wantsReport } from "../../../shared/mail/notify.ts";

const events: NotifyEvent[] = ["SUCCESS", "FAILURE", "DELAY"];

function reports(reversePath: string, notify: NotifyEvent[] | undefined): NotifyEvent[] {
  const recipient = { address: "joe@example.org", ...(notify && { notify }) };
  return events.filter((event) => wantsReport({ reversePath, recipients: [recipient] }, 0, event));
}

test("without NOTIFY a sender hears of failures and delays", () => {
  assert.deepEqual(reports("ann@example.com", undefined), ["FAILURE", "DELAY"]);
});

test("with NOTIFY a sender hears of what was asked for and of nothing else", () => {
  assert.deepEqual(reports("ann@example.com", []), []);
  for (const event of events) assert.deepEqual(reports("ann@example.com", [event]), [event]);
  assert.deepEqual(reports("ann@example.com", ["DELAY", "SUCCESS"]), ["SUCCESS", "DELAY"]);
});

test("each recipient has a NOTIFY of its own", () => {
  const recipients = [
    { address: "joe@example.org", notify: [] },
    { address: "sue@example.org" },
    { address: "pat@example.org", notify: ["SUCCESS" as const] },
  ];
  const wanting = (event: NotifyEvent) =>
    [0, 1, 2].filter((index) => wantsReport({ reversePath: "ann@example.com", recipients }, index, event));
  assert.deepEqual(wanting("FAILURE"), [1]);
  assert.deepEqual(wanting("SUCCESS"), [2]);
});

test("the null sender hears of nothing, whatever NOTIFY says", () => {
  assert.deepEqual(reports("", undefined), []);
  assert.deepEqual(reports("", events), []);
});

test("NOTIFY is NEVER alone, or any of SUCCESS, FAILURE and DELAY, in any case", () => {
  assert.deepEqual(parseNotify("NEVER"), []);
  assert.deepEqual(parseNotify("failure,Delay,FAILURE"), ["FAILURE", "DELAY"]);
  for (const wrong of ["", "NEVER,FAILURE", "FAILURE,", "ALWAYS", "SUCCESS DELAY"]) {
    assert.equal(parseNotify(wrong), undefined, wrong);
  }
  for (const value of ["NEVER", "SUCCESS,FAILURE,DELAY"]) {
    assert.equal(formatNotify(parseNotify(value) ?? []), value);
  }
});

test("mail is returned to addresses with a domain only", () => {
  assert.ok(isReturnable("ann@example.com"));
  assert.ok(isReturnable('"ann b"@[192.0.2.1]'));
  for (const reversePath of ["", "ann", "ann@", "@example.com", "ann@example.com>", "postmaster"]) {
    assert.ok(!isReturnable(reversePath), reversePath);
  }
});
