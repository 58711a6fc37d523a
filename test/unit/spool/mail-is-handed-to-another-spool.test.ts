/** The mail of one spool goes to another: all of it, as it is, and each message once. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createFsSpool, type FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import { cancelHandover, handOver } from "../../../shared/spool/handover/handover.ts";
import { scanFileName, whyHandedOver } from "../../../shared/spool/handover/handover-file.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { someDiagnosis } from "../../contract/spool.ts";
import { byId, mailIn, store } from "../../support/spooled-mail.ts";

const program = fileURLToPath(new URL("../../support/hand-over-process.ts", import.meta.url));

function directories(t: TestContext): { from: string; to: string } {
  const root = mkdtempSync(path.join(tmpdir(), "hand-over-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return { from: path.join(root, "from"), to: path.join(root, "to") };
}

async function within<T>(directory: string, work: (spool: FsSpool) => Promise<T>): Promise<T> {
  const spool = createFsSpool({ directory });
  try {
    return await work(spool);
  } finally {
    await spool.close();
  }
}

const delivered: RecipientState = { kind: "delivered" };
const dead: RecipientState = { kind: "dead", diagnosis: someDiagnosis, atMs: 1 };

test("states, reroutes and large bodies come along; what is settled stays behind", async (t) => {
  const { from, to } = directories(t);
  const mail = await within(from, async (spool) => {
    await store(spool, [
      [0, delivered],
      [1, { kind: "removed" }],
      [2, { kind: "bounced" }],
    ]);
    return [
      await store(spool, []),
      await store(spool, [], 400_000),
      await store(spool, [
        [0, delivered],
        [1, { kind: "failed", diagnosis: someDiagnosis }],
      ]),
      await store(spool, [[2, dead]]),
      await store(spool, [[1, { kind: "pending", via: "isp" }]]),
      await store(spool, [
        [0, { kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 5 } }],
        [1, { kind: "pending", warned: true }],
      ]),
    ];
  });
  // The other gateway has mail of its own.
  const own = await within(to, (spool) => store(spool, []));
  const report = await handOver({ from, to, chunk: { messages: 2, octets: 1e6 } });
  assert.deepEqual(report, { messages: 6, recipients: 18, unreadable: [] });
  assert.deepEqual(await mailIn(to), [...mail, own].toSorted(byId));
  assert.deepEqual(await mailIn(from), []);
  assert.equal(whyHandedOver(from), undefined);
  assert.ok(existsSync(path.join(to, scanFileName)));

  assert.deepEqual(await handOver({ from, to }), { messages: 0, recipients: 0, unreadable: [] });
  assert.equal((await mailIn(to)).length, 7, "nothing comes twice");
});

test("an interrupted copy keeps the services away; it can be given up until all is copied, and not afterwards", async (t) => {
  const { from, to } = directories(t);
  const mail = await within(from, async (spool) => [await store(spool, []), await store(spool, [])]);
  const stop = () => Promise.reject(new Error("interrupted"));
  await assert.rejects(handOver({ from, to, beforeCommit: stop }), /interrupted/);
  assert.match(
    whyHandedOver(from) ?? "",
    /^its mail is being handed to the spool .*\/to: finish that .* or end it with 'postern spool copy --cancel'$/,
  );
  await assert.rejects(handOver({ from, to: `${to}2` }), /its mail is being handed to .*\/to$/);
  assert.equal(await cancelHandover(from), true);
  assert.equal(await cancelHandover(from), false);
  assert.equal(whyHandedOver(from), undefined);
  assert.deepEqual([await mailIn(from), await mailIn(to)], [mail.toSorted(byId), []]);

  const progress = ({ phase }: { phase: string }) => {
    if (phase === "handing-over") throw new Error("interrupted");
  };
  await assert.rejects(handOver({ from, to, progress, chunk: { messages: 1, octets: 1 } }), /interrupted/);
  await assert.rejects(cancelHandover(from), /its mail belongs to the spool .* already/);
  await handOver({ from, to });
  assert.deepEqual([await mailIn(from), await mailIn(to)], [[], mail.toSorted(byId)]);
});

test("a directory that is the spool itself by another path gets nothing, and loses nothing", async (t) => {
  const { from } = directories(t);
  const mail = await within(from, async (spool) => [
    await store(spool, []),
    await store(spool, [[0, delivered]]),
  ]);
  const to = `${from}-by-another-path`;
  symlinkSync(from, to);
  await assert.rejects(handOver({ from, to }), { message: `${to} is this spool itself` });
  assert.equal(whyHandedOver(from), undefined);
  assert.deepEqual(await mailIn(from), mail.toSorted(byId));
});

test("mail does not go back to a spool that still knows it as gone", async (t) => {
  const { from, to } = directories(t);
  const mail = await within(from, async (spool) => [await store(spool, []), await store(spool, [])]);
  await handOver({ from, to });
  await assert.rejects(
    handOver({ from: to, to: from }),
    /^Error: message \S+ was in \S+ before, which still knows that it has gone: nothing was handed over; /,
  );
  assert.equal(await cancelHandover(to), true);
  assert.deepEqual([await mailIn(from), await mailIn(to)], [[], mail.toSorted(byId)]);
  const other = `${from}-2`;
  await handOver({ from: to, to: other });
  assert.deepEqual(await mailIn(other), mail.toSorted(byId));
});

/** Runs until it has printed so many lines, and kills it then. @returns whether it has ended by itself */
async function runAndKill(from: string, to: string, lines: number): Promise<boolean> {
  const child: ChildProcess = spawn(process.execPath, [program, from, to], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  let seen = 0;
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on("line", () => {
      if (++seen >= lines) child.kill("SIGKILL");
    });
  return (await ended) === 0;
}

test("killed again and again while the other gateway delivers, no message is lost and none comes twice", async (t) => {
  const { from, to } = directories(t);
  const ids = await within(from, async (spool) => {
    const stored: string[] = [];
    for (let n = 0; n < 12; n++)
      stored.push((await store(spool, [[0, delivered]], n % 4 ? 100 : 300_000)).id);
    return stored;
  });
  const arrived: string[] = [];
  /** Delivers what has come, and forgets it as a collector does: the next run cannot know that it was there. */
  const deliver = async () => {
    await within(to, async (spool) => {
      for await (const { meta, states } of spool.unsettled()) {
        assert.deepEqual([...states], [[0, delivered]]);
        arrived.push(meta.id);
        await spool.settle([{ id: meta.id, recipients: [1, 2], state: delivered }]);
      }
    });
    for (const place of ["segments", "large", "settled"])
      for (const name of readdirSync(path.join(to, place))) rmSync(path.join(to, place, name));
  };
  let runs = 0;
  for (let isDone = false; !isDone; ) {
    // Each run gets a little further than the one before.
    isDone = await runAndKill(from, to, ++runs > 8 ? Number.POSITIVE_INFINITY : 1 + (runs % 3));
    await deliver();
  }
  assert.deepEqual(arrived.toSorted(), ids.toSorted());
  assert.deepEqual(await mailIn(from), []);
  t.diagnostic(`${runs} runs`);
});
