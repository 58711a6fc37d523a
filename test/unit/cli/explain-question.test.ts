import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../../services/cli/command-line/command.ts";
import { readClient, readRecipient, readSender, readServer } from "../../../services/cli/explain-question.ts";

test("a server is on port 25 unless a port is given", () => {
  assert.deepEqual(readServer("203.0.113.25"), { address: "203.0.113.25", port: 25 });
  assert.deepEqual(readServer("203.0.113.25:587"), { address: "203.0.113.25", port: 587 });
  assert.deepEqual(readServer("[2001:db8::25]:587"), { address: "2001:db8::25", port: 587 });
});

test("addresses are mailboxes with or without angle brackets; <> is a sender and no recipient", () => {
  assert.equal(readSender("ann@example.com"), "ann@example.com");
  assert.equal(readSender("<>"), "");
  assert.deepEqual(readRecipient("postmaster"), { address: "postmaster", sourceRoute: false });
  const relayed = readRecipient("<@relay.example:bert@example.com>");
  assert.deepEqual([relayed.address, relayed.sourceRoute], ["bert@example.com", true]);
  assert.throws(() => readRecipient("<>"), UsageError);
});

test("the wrong option is named with its value", () => {
  assert.throws(() => readClient("client.example"), /--client, not 'client\.example'/);
  assert.throws(() => readServer("server.example:25"), /--server, not 'server\.example:25'/);
  assert.throws(() => readSender("ann@@example.com"), /--from, not 'ann@@example\.com'/);
  assert.throws(() => readRecipient("bert@example.com, anna@example.com"), /--to, not 'bert@/);
});
