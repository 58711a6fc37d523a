import assert from "node:assert/strict";
import { test } from "node:test";
import { LogicalClock, type RecipientState } from "../../../shared/spool/recipient-state.ts";
import { WaitingSettlements } from "../../../shared/spool/records/status-batch.ts";
import { parseLog } from "../../../shared/spool/records/status-format.ts";
import { someDiagnosis } from "../../contract/spool.ts";

const delivered: RecipientState = { kind: "delivered" };
const failed: RecipientState = { kind: "failed", diagnosis: someDiagnosis };

test("settlements that wait together become one batch with one timestamp, and those of records keep theirs", () => {
  const clock = new LogicalClock(() => 1000);
  const waiting = new WaitingSettlements();
  waiting.add([{ id: "A", recipients: [0], state: delivered }]);
  waiting.addRecorded([{ id: "B", recipients: [1], state: { kind: "bounced" } }], 7);
  waiting.add([{ id: "C", recipients: [0, 2], state: failed }]);
  const batches = waiting.takeBatches(clock);
  assert.deepEqual(
    batches.map(({ entries }) => entries),
    [
      [{ id: "B", entry: { recipients: [1], state: { kind: "bounced" }, timestamp: 7 } }],
      [
        { id: "A", entry: { recipients: [0], state: delivered, timestamp: 1_000_000 } },
        { id: "C", entry: { recipients: [0, 2], state: failed, timestamp: 1_000_000 } },
      ],
    ],
  );
  for (const { text, entries } of batches) assert.deepEqual(parseLog(text).entries, entries);
  assert.deepEqual(waiting.takeBatches(clock), []);
  waiting.add([{ id: "D", recipients: [0], state: delivered }]);
  const [next] = waiting.takeBatches(clock);
  assert.deepEqual(
    parseLog(next?.text ?? Buffer.alloc(0)).entries.map(({ id }) => id),
    ["D"],
  );
});
