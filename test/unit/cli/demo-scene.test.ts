import assert from "node:assert/strict";
import { test } from "node:test";
import { answerRecipient, demoMessage, domains } from "../../../services/cli/demo/scene.ts";
import { atTime, describeEvent, describeSent } from "../../../services/cli/demo/show.ts";

test("a full mailbox defers a message twice and takes it then; a mailbox that does not exist never does", () => {
  const codes = (recipient: string): number[] =>
    [0, 1, 2, 3].map((attempts) => answerRecipient(recipient, attempts).code);
  assert.deepEqual(codes("carol@busy.example"), [452, 452, 250, 250]);
  assert.deepEqual(codes("full@busy.example"), [452, 452, 452, 452]);
  assert.deepEqual(codes("nobody@customer.example"), [550, 550, 550, 550]);
  assert.deepEqual(codes("bob@Customer.Example"), [250, 250, 250, 250]);
  assert.deepEqual(codes("somebody@example.org"), [550, 550, 550, 550]);
});

test("the demo writes to its own domains only, and each message is always the same", () => {
  for (let index = 0; index < 500; index++) {
    const message = demoMessage(index);
    for (const address of [message.from, ...message.to]) {
      assert.ok(
        domains.some((domain) => address.endsWith(`@${domain}`)),
        address,
      );
    }
    assert.deepEqual(demoMessage(index), message);
  }
});

test("each thing that happens is one line, and says what the gateway does next", () => {
  const show = describeEvent;
  const to = "carol@busy.example";
  assert.equal(
    show({ kind: "refused", from: "a@office.example", to, reply: "452 4.2.2 mailbox full" }),
    "deferred carol@busy.example: 452 4.2.2 mailbox full; the gateway will try again",
  );
  assert.equal(
    show({ kind: "refused", from: "a@office.example", to, reply: "550 5.1.1 no such mailbox" }),
    "refused  carol@busy.example: 550 5.1.1 no such mailbox; the gateway notifies the sender",
  );
  assert.equal(
    show({ kind: "arrived", from: "", to: ["a@office.example"], subject: "Not delivered" }),
    'arrived  "Not delivered" at a@office.example, from the gateway itself',
  );
  const message = { from: "a@office.example", to: [to], subject: "Hi", text: "" };
  assert.equal(
    describeSent(message, "250 2.0.0 Ok: queued as 1M8PQY0EC96QWTS8SX"),
    'sent     "Hi" to carol@busy.example: queued as 1M8PQY0EC96QWTS8SX',
  );
  assert.equal(atTime(new Date(2026, 0, 2, 3, 4, 5), "x"), "03:04:05  x");
});
