/** The instruments of the chaos run: its schedule, its reading of notifications, and what it takes for left over. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { store } from "../contract/spool.ts";
import { spoolLeftovers } from "./end/spool-leftovers.ts";
import { excessOf } from "./end/usage.ts";
import { isIntact, readReport } from "./peers/report.ts";
import { seededRandom } from "./random.ts";
import { makeSchedule } from "./schedule.ts";

const rates = [
  { name: "kill", weight: 3, needsMs: 0 },
  { name: "stop", weight: 1, needsMs: 40_000 },
];

test("a seed stands for one schedule, with faults by their weight and as long as there is time for them", () => {
  const terms = { durationMs: 3_600_000, everyMs: 2_000, quietMs: 10_000 };
  const plan = (seed: number) =>
    makeSchedule(rates, seededRandom(seed), terms).map(({ atMs, name, random }) => [
      atMs,
      name,
      random.next(),
    ]);
  assert.deepEqual(plan(7), plan(7));
  assert.notDeepEqual(plan(7), plan(8));
  const schedule = makeSchedule(rates, seededRandom(7), terms);
  assert.ok(Math.abs(schedule.length - 1800) < 150, `${schedule.length} faults`);
  const kills = schedule.filter(({ name }) => name === "kill").length;
  assert.ok(Math.abs(kills / schedule.length - 0.75) < 0.05, `${kills} kills`);
  assert.ok(schedule.every(({ name, atMs }) => name !== "stop" || atMs <= terms.durationMs - 40_000));
});

test("a notification is read by its recipient", () => {
  const lines = [
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
    "",
    "--b",
    "Content-Type: message/delivery-status",
    "",
    "Reporting-MTA: dns; gw.example.net",
    "",
    "Final-Recipient: rfc822; r1-0@good.test",
    "Action: failed",
    "Status: 5.1.1",
    "",
    "Final-Recipient: rfc822; r1-1@good.test",
    "Action: relayed",
    "Status: 2.0.0",
    "",
    "--b--",
    "",
  ];
  assert.deepEqual(readReport(lines.join("\r\n")), [
    { address: "r1-0@good.test", action: "failed", status: "5.1.1" },
    { address: "r1-1@good.test", action: "relayed", status: "2.0.0" },
  ]);
  assert.deepEqual(readReport("Subject: no notification\r\n\r\nAction: failed\r\n"), []);
});

test("a body that changed on its way is found", () => {
  const sent = "Subject: x\r\nX-Octets: 8587d865\r\n\r\nabcde";
  assert.equal(isIntact(Buffer.from(sent)), true);
  assert.equal(isIntact(Buffer.from(`${sent}!`)), false);
});

test("a process that keeps memory or descriptors is found", () => {
  const [small, large] = [100 * 1024 ** 2, 400 * 1024 ** 2];
  const before = new Map([["delivery-1", { residentBytes: small, descriptors: 40 }]]);
  assert.deepEqual(
    excessOf(before, new Map([["delivery-1", { residentBytes: small, descriptors: 50 }]])),
    [],
  );
  assert.deepEqual(excessOf(before, new Map([["delivery-1", { residentBytes: large, descriptors: 90 }]])), [
    "delivery-1 has 90 open descriptors, and had 40 at its start",
    "delivery-1 has 400 MB of memory, and had 100 MB at its start",
  ]);
});

/** For a spool of two messages. */
const enoughRounds = 10;

test("files that stay in a spool for nothing are found, and none of those that must stay", async () => {
  const directory = mkdtempSync(join(tmpdir(), "postern-chaos-"));
  const spool = createFsSpool({ directory });
  const settled = await store(spool, "settled");
  const waiting = await store(spool, "waiting");
  await spool.settle([{ id: settled.meta.id, recipients: [0], state: { kind: "delivered" } }]);
  await spool.close();
  assert.deepEqual(await spoolLeftovers(directory, false), []);
  writeFileSync(join(directory, "forgotten.tmp"), "");
  writeFileSync(join(directory, "damaged", "x.seg"), "");
  assert.deepEqual((await spoolLeftovers(directory, false, enoughRounds)).toSorted(), [
    "damaged/x.seg stays for nothing",
    "forgotten.tmp in the spool's directory",
  ]);
  const again = createFsSpool({ directory });
  await again.settle([{ id: waiting.meta.id, recipients: [0], state: { kind: "delivered" } }]);
  await again.close();
  assert.deepEqual(await spoolLeftovers(directory, true, enoughRounds), [
    "forgotten.tmp in the spool's directory",
  ]);
  await rm(directory, { recursive: true });
});
