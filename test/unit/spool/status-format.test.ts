import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import {
  formatBatch,
  formatLine,
  formatRecipients,
  parseLog,
  parseRecipients,
} from "../../../shared/spool/records/status-format.ts";
import type { Settlement } from "../../../shared/spool/spool.ts";
import { someDiagnosis } from "../../contract/spool.ts";

const success: RecipientState = {
  kind: "delivered",
  success: {
    kind: "relayed",
    reply: { code: 250, lines: ["grüße\n= 1"], command: "DOT" },
    remote: { host: "mx.example.com", address: "192.0.2.1", port: 25 },
    atMs: 7,
  },
};
const states: RecipientState[] = [
  { kind: "pending" },
  { kind: "pending", warned: true },
  { kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 1_900_000_000_000 } },
  { kind: "pending", via: "isp 2\n" },
  { kind: "pending", via: "" },
  { kind: "delivered" },
  success,
  { kind: "bounced" },
  { kind: "removed" },
  { kind: "failed", diagnosis: someDiagnosis },
  { kind: "dead", diagnosis: someDiagnosis, atMs: 5 },
];
const settlements: Settlement[] = states.map((state, n) => ({ id: `M${n}`, recipients: [n, n + 2], state }));
const batches = [
  formatBatch(1_700_000_000_000_001, settlements.slice(0, 3).map(formatLine).join("")),
  formatBatch(1_700_000_000_000_002, settlements.slice(3).map(formatLine).join("")),
  formatBatch(3, formatLine({ id: "M9", recipients: [0], state: { kind: "delivered" } })),
];
const log = Buffer.concat(batches);

test("settlements of every kind read back as they were written", () => {
  const { entries, consumed, damaged } = parseLog(log);
  assert.equal(consumed, log.length);
  assert.deepEqual(damaged, []);
  assert.deepEqual(
    entries.slice(0, -1).map(({ id, entry }) => ({ id, recipients: entry.recipients, state: entry.state })),
    settlements,
  );
  assert.deepEqual(
    entries.map(({ entry }) => entry.timestamp),
    [...Array(3).fill(1_700_000_000_000_001), ...Array(states.length - 3).fill(1_700_000_000_000_002), 3],
  );
});

test("a delivery with a pending report is a delivery for version 0.1, which ignores the rest of its line", () => {
  assert.match(formatLine({ id: "M0", recipients: [0, 1], state: success }), /^M0 d0-1 \{/);
});

test("a log that arrives in two pieces says the same, wherever it is cut", () => {
  const whole = parseLog(log).entries;
  for (let cut = 0; cut <= log.length; cut++) {
    const first = parseLog(log.subarray(0, cut));
    assert.deepEqual(first.damaged, [], `cut at ${cut}`);
    const second = parseLog(log.subarray(first.consumed));
    assert.deepEqual([...first.entries, ...second.entries], whole, `cut at ${cut}`);
  }
});

test("a flipped bit loses its batch and no other", () => {
  const start = batches[0]?.length ?? 0;
  const end = start + (batches[1]?.length ?? 0);
  for (let at = start; at < end; at++) {
    for (const bit of [1, 4, 64]) {
      const damaged = Buffer.from(log);
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      const found = parseLog(damaged).entries.map(({ id }) => id);
      assert.deepEqual(found, ["M0", "M1", "M2", "M9"], `octet ${at}`);
    }
  }
});

test("consecutive recipients are written as ranges", () => {
  assert.equal(formatRecipients([0]), "0");
  assert.equal(formatRecipients([5, 1, 2, 3, 9, 2]), "1-3,5,9");
  assert.equal(formatRecipients(Array.from({ length: 1000 }, (_, n) => n)), "0-999");
  assert.deepEqual(parseRecipients("1-3,5,9"), [1, 2, 3, 5, 9]);
  assert.deepEqual(parseRecipients(formatRecipients([])), []);
});

test("an entry that nobody can read hides no other: JSON of a later version, or more recipients than there are", () => {
  for (const line of ["M1 f0 d3", "M1 x0 {", "M1 d0-4294967295", "M1 d-1", "M1 d0,x", "M1 q0"]) {
    const { entries, damaged } = parseLog(formatBatch(1, `${line}\nM2 d0\n`));
    assert.deepEqual(
      entries.map(({ id }) => id),
      ["M2"],
      line,
    );
    assert.deepEqual(damaged, []);
  }
});
