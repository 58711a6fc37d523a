import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import {
  formatBatch,
  formatLine,
  formatRecipients,
  parseLog,
  parseRecipients,
} from "../../../shared/spool/records/status-format.ts";
import type { Target } from "../engine/target.ts";

const diagnosis = {
  status: "5.1.1" as const,
  class: "5xx" as const,
  reason: "no\nsuch \u{1F48C} user",
  atMs: 1,
};
const states: RecipientState[] = [
  { kind: "pending" },
  { kind: "pending", warned: true },
  { kind: "delivered" },
  { kind: "bounced" },
  { kind: "removed" },
  { kind: "failed", diagnosis },
  { kind: "dead", diagnosis, atMs: 2 },
];
const intact = formatBatch(7, formatLine({ id: "LAST", recipients: [3], state: { kind: "delivered" } }));

const target: Target = {
  about: "a status log of the spool, as a crash, a bad disk or a later version left it",
  maxOctets: 65_536,
  check(input) {
    const whole = parseLog(input);
    assert.ok(whole.consumed <= input.length);
    let before = 0;
    for (const { offset, length } of whole.damaged) {
      assert.ok(offset >= before && length > 0 && offset + length <= whole.consumed);
      before = offset + length;
    }
    // What is whole counts, whatever stands before it.
    const later = parseLog(Buffer.concat([input, Buffer.from("\n"), intact]));
    assert.equal(later.entries.at(-1)?.id, "LAST");
    assert.equal(later.consumed, input.length + 1 + intact.length);
    // A log that is followed is read as far as it is written.
    const half = Math.floor(input.length / 2);
    const first = parseLog(input.subarray(0, half));
    assert.ok(first.consumed <= half);
  },
  seeds: [
    ...states.map((state) => formatBatch(99, formatLine({ id: "M1", recipients: [0, 1, 5], state }))),
    Buffer.concat([intact, intact, Buffer.from("=zz 1000 0\n"), intact]),
    "=1 5 0\nM p0\n",
    formatBatch(1, "M1 d0-4294967295\nM2 d0\n"),
  ],
  words: [
    "=",
    "\n",
    " ",
    "M1 p0\n",
    "M1 d0-9,12\n",
    'M1 f0 {"status":"5.1.1"}\n',
    "M1 x0 null\n",
    "M1 l0 1\n",
    "M1 q0\n",
    "0-4294967295",
    "=1 10 ",
  ],
  repair(input) {
    // The length and the checksum of the first head are those of what follows it.
    const end = input.indexOf(10);
    const digits = /^=([0-9a-z]{1,11})/.exec(input.toString("latin1", 0, 20))?.[1] ?? "a";
    const lines = input.subarray(end + 1);
    const sum = crc32(lines, crc32(digits)).toString(16);
    return Buffer.concat([Buffer.from(`=${digits} ${lines.length} ${sum}\n`), lines]);
  },
  long: [
    ["", "=1 9999999 0\n", ""],
    ["", "\n=", ""],
    ["", "M1 p0\n", ""],
  ],
  properties: {
    "a batch is read as it was written": fc.property(
      fc.array(
        fc.record({
          id: fc.stringMatching(/^[A-Z0-9]{1,18}$/),
          recipients: fc.uniqueArray(fc.nat(2000), { minLength: 1, maxLength: 50 }),
          state: fc.constantFrom(...states),
        }),
        { minLength: 1 },
      ),
      fc.nat(2 ** 31 - 1),
      (settlements, timestamp) => {
        const { entries, damaged } = parseLog(formatBatch(timestamp, settlements.map(formatLine).join("")));
        assert.deepEqual(damaged, []);
        assert.deepEqual(
          entries,
          settlements.map(({ id, recipients, state }) => ({
            id,
            entry: { recipients: recipients.toSorted((a, b) => a - b), state, timestamp },
          })),
        );
      },
    ),
    "a batch with another octet in it does not count": fc.property(
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (place, change) => {
        const batch = formatBatch(
          7,
          formatLine({ id: "M1", recipients: [0, 1], state: { kind: "delivered" } }),
        );
        const start = batch.indexOf(10) + 1;
        const at = start + (place % (batch.length - start));
        batch[at] = (batch[at] ?? 0) ^ change;
        assert.deepEqual(
          parseLog(Buffer.concat([batch, intact])).entries.map(({ id }) => id),
          ["LAST"],
        );
      },
    ),
    "recipients come back as they were, in order": fc.property(fc.uniqueArray(fc.nat(5000)), (recipients) => {
      assert.deepEqual(
        parseRecipients(formatRecipients(recipients)),
        recipients.toSorted((a, b) => a - b),
      );
    }),
  },
};
export default target;
