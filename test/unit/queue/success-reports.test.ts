import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import {
  createSuccessReports,
  enqueueSuccessReport,
  type SuccessReport,
} from "../../../shared/queue/success-reports.ts";
import { waitFor } from "../../support/wait-for.ts";

const report: SuccessReport = {
  version: 1,
  kind: "relayed",
  id: "1HZ8C4S30ABCDEFGHJ",
  locator: { segment: "s", offset: 0, length: 10, checksum: 1 },
  recipients: [
    {
      recipient: 0,
      reply: { code: 250, lines: ["ok"], command: "DOT" },
      remote: { host: "mx.example.com", address: "192.0.2.25", port: 25 },
      atMs: 1_800_000_000_000,
    },
  ],
};

/** A bounce queue that is out of reach for so many tries. */
function queueAfter(failures: number, repeatAfterMs = 1) {
  const added: { report: unknown; delayMs: number }[] = [];
  const lines: Record<string, unknown>[] = [];
  const state = { tries: 0 };
  const deps = {
    producer: {
      async addBounce(job: unknown, delayMs: number) {
        if (++state.tries <= failures) throw new Error("Redis is away");
        added.push({ report: job, delayMs });
      },
    },
    log: pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    repeatAfterMs,
  };
  return { deps, added, lines, state };
}

test("a success report is enqueued at once, without waiting for others", async () => {
  const { deps, added } = queueAfter(0);
  await enqueueSuccessReport(deps, report, new AbortController().signal);
  assert.deepEqual(added, [{ report, delayMs: 0 }]);
});

test("a success report is repeated until the queue has it", async () => {
  const { deps, added, lines, state } = queueAfter(3);
  await enqueueSuccessReport(deps, report, new AbortController().signal);
  assert.equal(added.length, 1);
  assert.equal(state.tries, 4);
  assert.deepEqual(lines, []);
});

test("the report of a delivery that an abort interrupts is tried all the same, and lost only if Redis does not have it then", async () => {
  const back = queueAfter(0);
  await enqueueSuccessReport(back.deps, report, AbortSignal.abort());
  assert.equal(back.added.length, 1);
  const away = queueAfter(Number.POSITIVE_INFINITY);
  await enqueueSuccessReport(away.deps, report, AbortSignal.abort());
  assert.equal(away.state.tries, 1);
  assert.partialDeepStrictEqual(away.lines, [
    { level: 50, id: report.id, msg: "a success report could not be enqueued and is lost" },
  ]);
});

test("an abort does not wait for the next try: there is a last one at once", async () => {
  const { deps, added, state } = queueAfter(1, 3_600_000);
  const stop = new AbortController();
  const enqueued = enqueueSuccessReport(deps, report, stop.signal);
  await waitFor("the first try to fail", () => state.tries === 1);
  stop.abort();
  await enqueued;
  assert.equal(added.length, 1);
});

test("in the background, reports that Redis does not take before the process ends are logged as lost, each of them", async () => {
  const { deps, lines, state } = queueAfter(Number.POSITIVE_INFINITY, 3_600_000);
  const reports = createSuccessReports(deps);
  reports.publish(report);
  reports.publish({ ...report, id: "1HZ8C4S30ABCDEFGHK" });
  await waitFor("both to be tried", () => state.tries === 2);
  assert.deepEqual(lines, []);
  await reports.close();
  assert.deepEqual(
    lines.map(({ id }) => id),
    [report.id, "1HZ8C4S30ABCDEFGHK"],
  );
});
