import assert from "node:assert/strict";
import { test } from "node:test";
import { Wire } from "./wire.ts";

function opened(given: object = {}): Wire {
  const wire = new Wire({ limitsMail: true, ...given }).server("220 far.test").client("EHLO a");
  wire.server("250 far.test");
  wire.atServer();
  wire.atClient();
  return wire;
}

/** Answers of the limiter, given by the test. */
function laterAnswers(wire: Wire): ((isAdmitted: boolean) => Promise<void>)[] {
  const answers: ((isAdmitted: boolean) => Promise<void>)[] = [];
  wire.admitMail = () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    answers.push(async (isAdmitted) => {
      resolve(isAdmitted);
      await new Promise((done) => setImmediate(done));
    });
    return promise;
  };
  return answers;
}

test("while the answer is awaited nothing passes, wherever the line was cut", async () => {
  const line = "NOOP\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n";
  for (let at = 0; at <= line.length; at++) {
    const wire = opened();
    const answers = laterAnswers(wire);
    wire.client(Buffer.from(line.slice(0, at)));
    wire.client(Buffer.from(line.slice(at)));
    assert.equal(wire.atServer(), "NOOP");
    assert.ok(wire.dialogue.isHolding && !wire.dialogue.isIdle);
    wire.server("250 noop");
    assert.equal(wire.atServer(), "", "a reply to something else sets nothing free");
    await answers[0]?.(true);
    assert.equal(wire.atServer(), "MAIL FROM:<a@b>\nRCPT TO:<c@d>");
    assert.equal(answers.length, 1, "asked once");
    assert.equal(wire.heldInputRead, 1);
  }
});

test("a MAIL over the rate is answered 450 in order and never reaches the server", async () => {
  const wire = opened();
  const answers = laterAnswers(wire);
  wire.client("NOOP\nMAIL FROM:<a@b>\nNOOP");
  await answers[0]?.(false);
  assert.equal(wire.atServer(), "NOOP\nNOOP");
  assert.equal(wire.atClient(), "");
  wire.server("250 first\n250 second");
  assert.match(wire.atClient(), /^250 first\n450 4\.7\.1 [^\n]*\n250 second$/);
  assert.equal(wire.transactions[0]?.result, "refused");
  wire.admitMail = () => true;
  assert.equal(
    wire.client("MAIL FROM:<a@b>").atServer(),
    "MAIL FROM:<a@b>",
    "the next one is asked for anew",
  );
});

test("what the rules refuse anyway does not count, nor does anything where no limit is set", () => {
  const fail = () => assert.fail("the limiter is not asked");
  const strict = opened({ requireAuth: true });
  strict.admitMail = fail;
  assert.match(strict.client("MAIL FROM:<a@b>").atClient(), /^530 /);
  const free = opened({ limitsMail: false });
  free.admitMail = fail;
  assert.equal(free.client("MAIL FROM:<a@b>").atServer(), "MAIL FROM:<a@b>");
});

test("an answer that comes after the end is ignored", async () => {
  const wire = opened();
  const answers = laterAnswers(wire);
  wire.client("MAIL FROM:<a@b>");
  wire.dialogue.ended();
  await answers[0]?.(true);
  assert.equal(wire.atServer(), "");
});
