/** The reserve that bodies and records leave free, on a disk of a few mebibytes. */
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { nodeFiles, type SpoolFiles } from "../../../shared/spool/fs/disk/files.ts";
import { SpoolFull } from "../../../shared/spool/spool.ts";
import { someMeta, store } from "../../contract/spool.ts";
import { makeSpoolFixture, type SpoolFixture } from "./spool-fixture.ts";

const mebibyte = 1024 * 1024;
const capacity = 12 * mebibyte;
const reserve = 4 * mebibyte;

function usedIn(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + sizeOf(join(parentPath, name)), 0);
}

/** 0 for a file that has just gone. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Free space as a disk of this capacity has it. */
function smallDisk(t: TestContext): { fixture: SpoolFixture; files: SpoolFiles; free(): number } {
  const fixture = makeSpoolFixture(t, { minFreeBytes: reserve, largeBytes: 100_000 });
  const free = () => capacity - usedIn(fixture.directory);
  const files: SpoolFiles = {
    ...nodeFiles,
    statfs: (path, done) =>
      nodeFiles.statfs(path, (error, stats) =>
        done(error, Object.assign(stats, { bavail: free(), bsize: 1 })),
      ),
  };
  return { fixture, files, free };
}

/** A client that sends a body in chunks. @returns what became of it */
async function send(
  spool: ReturnType<SpoolFixture["open"]>,
  octets: number,
): Promise<"accepted" | "refused"> {
  try {
    const draft = spool.draft();
    try {
      for (let sent = 0; sent < octets; sent += 64_000) await draft.write(Buffer.alloc(64_000, "x"));
      await draft.commit(someMeta());
    } finally {
      await draft.discard();
    }
    return "accepted";
  } catch (error) {
    assert.ok(error instanceof SpoolFull, String(error));
    return "refused";
  }
}

for (const processes of [1, 2]) {
  test(`large bodies of ${processes} process(es) that come in at once leave the reserve free`, async (t) => {
    const { fixture, files, free } = smallDisk(t);
    const spools = Array.from({ length: processes }, () => fixture.open({ files }));
    const settled = await store(spools[0] as (typeof spools)[0], "settles on the reserve");
    const clients = spools.flatMap((spool) => Array.from({ length: 10 }, () => send(spool, 2 * mebibyte)));
    const outcomes = await Promise.all(clients);
    assert.ok(outcomes.includes("accepted") && outcomes.includes("refused"), outcomes.join());
    // Processes do not know what others are writing at that moment: a mebibyte each.
    assert.ok(free() >= reserve - (processes - 1) * 2 * mebibyte, `${free()} octets are free`);
    await spools[0]?.settle([{ id: settled.meta.id, recipients: [0], state: { kind: "delivered" } }]);
  });
}

test("small messages leave the reserve free, too, and what open drafts hold counts when a message is begun", async (t) => {
  const { fixture, files, free } = smallDisk(t);
  const spool = fixture.open({ files, largeBytes: 10 * mebibyte });
  assert.equal(await send(spool, 5 * mebibyte), "accepted");
  const drafts = Array.from({ length: 4 }, () => spool.draft());
  for (const draft of drafts) await draft.write(Buffer.alloc(mebibyte, "x"));
  assert.throws(() => spool.draft(), SpoolFull);
  const ends = await Promise.allSettled(drafts.map((draft) => draft.commit(someMeta())));
  assert.ok(ends.some(({ status }) => status === "rejected"));
  assert.ok(free() >= reserve, `${free()} octets are free`);
});
