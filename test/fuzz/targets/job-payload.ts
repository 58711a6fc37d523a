import assert from "node:assert/strict";
import fc from "fast-check";
import {
  bounceJobSchema,
  type DeliveryJob,
  parseDeliveryJob,
  parseDeliveryJobId,
} from "../../../shared/queue/contract/contract.ts";
import {
  deadAfterAttempt,
  deadJobId,
  parseDeadJob,
  requeuedJob,
} from "../../../shared/queue/contract/dead-job.ts";
import { bounceId } from "../../../shared/queue/contract/delivery-job.ts";
import { HoldMatcher, holdRuleId, holdRuleSchema } from "../../../shared/queue/holds/rules.ts";
import { jobMatcher, rowOf } from "../../../shared/queue/operator/rows.ts";
import { someDiagnosis } from "../../contract/spool.ts";
import type { Target } from "../engine/target.ts";

const job: DeliveryJob = {
  version: 1,
  id: "1M8PQXWVF29TJ4D16K",
  part: 0,
  locator: { segment: "000000000-aaaaaaaaaaaa", offset: 1, length: 2, checksum: 3 },
  from: "a@example.com",
  to: ["b@example.org"],
  route: "relay via mx example.org",
  size: 100,
  receivedAtMs: 1_700_000_000_000,
  history: { attempts: 1, lastAttemptAtMs: 5, last: [{ recipients: [0], diagnosis: someDiagnosis }] },
};
const rule = { kind: "destination" as const, value: "*.example.org", reason: "x", createdAtMs: 1 };

const target: Target = {
  about: "what stands in Redis: delivery jobs, dead jobs, bounce jobs and hold rules, also of other versions",
  maxOctets: 65_536,
  check(input) {
    const text = input.toString("utf8");
    parseDeliveryJobId(text);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return;
    }
    const delivery = parseDeliveryJob(value);
    if (delivery !== undefined) look(delivery);
    const dead = parseDeadJob(value);
    if (dead !== undefined) {
      rowOf({ queue: "dead", status: "dead", job: dead.job, dead });
      assert.ok(parseDeliveryJob(JSON.parse(JSON.stringify(requeuedJob(dead, 1)))) !== undefined);
      assert.equal(deadJobId(dead), deadJobId({ job: dead.job }));
    }
    const bounce = bounceJobSchema.safeParse(value);
    if (bounce.success) assert.equal(typeof bounceId(bounce.data), "string");
    const hold = holdRuleSchema.safeParse(value);
    if (hold.success) {
      new HoldMatcher([hold.data], 0).match(job);
      assert.equal(typeof holdRuleId(hold.data), "string");
    }
  },
  seeds: [
    job,
    deadAfterAttempt(job, { diagnosis: someDiagnosis, atMs: 1 }),
    { version: 2, kind: "succeeded", id: job.id, locator: job.locator },
    { version: 1, kind: "relayed", id: job.id, locator: job.locator, recipients: [] },
    rule,
    { ...rule, kind: "sender", value: "*@*" },
    `${job.id}-0`,
    { ...job, receivedAtMs: 1e300 },
  ].map((value) => (typeof value === "string" ? value : JSON.stringify(value))),
  words: [
    '"version":1',
    '"to":[]',
    '"history":',
    "null",
    "1e300",
    "-1",
    '"\\ud800"',
    "[]",
    "{}",
    '"receivedAtMs":1e300',
    '"__proto__":{}',
    '"aliases":["x"]',
    '"route":" via "',
    '"until":',
  ],
  long: [
    ['{"to":[', '"a",', '"b"]}'],
    ["", "[", ""],
    ['{"kind":"sender","reason":"","createdAtMs":1,"value":"', "*a", '"}'],
  ],
  properties: {
    "a job comes back from Redis as it was": fc.property(
      fc.record({
        from: fc.string(),
        to: fc.array(fc.string()),
        route: fc.string(),
        size: fc.nat(),
        part: fc.nat(),
      }),
      (fields) => {
        const made = { ...job, ...fields };
        assert.deepEqual(parseDeliveryJob(JSON.parse(JSON.stringify(made))), made);
      },
    ),
  },
};
export default target;

/** Lists, filters and holds take what the schema takes. */
function look(delivery: DeliveryJob): void {
  const inspected = { queue: "delivery" as const, status: "waiting" as const, job: delivery };
  const row = rowOf(inspected);
  assert.match(row.receivedAt, /^[+-]?\d{4,6}-/);
  jobMatcher({ to: "*@x", error: "y", search: "z" }, 1)(inspected);
  new HoldMatcher([rule], 0).match(delivery);
  const again = deadAfterAttempt(delivery, { diagnosis: someDiagnosis, atMs: 1 });
  assert.ok(parseDeadJob(JSON.parse(JSON.stringify(again))) !== undefined);
}
