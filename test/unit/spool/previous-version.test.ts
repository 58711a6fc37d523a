import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { crc32 } from "node:zlib";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { createFsSpool, type FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { BatchLayout } from "../../../shared/spool/records/batch.ts";
import {
  headLength,
  makeHead,
  placeSeed,
  type RecordExtra,
  readHeader,
  readText,
  writeHead,
} from "../../../shared/spool/records/record.ts";
import { formatBatch, formatLine } from "../../../shared/spool/records/status-format.ts";
import type { Locator, Settlement } from "../../../shared/spool/spool.ts";
import { bodyOf, store } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

/** See test/fixtures/spool-0.1/README.md. */
interface Expected {
  unsettled: {
    name: string;
    meta: MessageMeta;
    /** What jobs in Redis carry. */
    storedAt: Locator;
    foundAt: Locator;
    states: Record<string, RecipientState>;
    bodyKind: "buffer" | "file";
    body: { octets: number; crc32: number };
  }[];
  settled: { name: string; id: string }[];
  octets: {
    meta: MessageMeta;
    settles: NonNullable<RecordExtra["settles"]>;
    origin: Locator;
    segment: string;
    /** Base 64. */
    records: string;
    locators: Locator[];
    movedRecordHead: string;
    settlements: Settlement[];
    statusBatch: string;
  };
}

const recorded = join(import.meta.dirname, "../../fixtures/spool-0.1");
const expected = JSON.parse(readFileSync(join(recorded, "expected.json"), "utf8")) as Expected;

/** Opens a copy of the spool. The process that was killed is taken for dead after a moment. */
function openCopy(t: TestContext): { spool: FsSpool; directory: string; faults: unknown[] } {
  const directory = mkdtempSync(join(tmpdir(), "postern-spool-"));
  cpSync(join(recorded, "spool"), directory, { recursive: true });
  const faults: unknown[] = [];
  const spool = createFsSpool({
    directory,
    minFreeBytes: 0,
    deadAfterMs: 100,
    forgetAfterMs: 0,
    onFault: (fault) => faults.push(fault),
  });
  t.after(async () => {
    await spool.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { spool, directory, faults };
}

async function assertAsBefore(spool: FsSpool): Promise<void> {
  const found = [];
  for await (const { meta, locator, states } of spool.unsettled())
    found.push({ meta, locator, states: Object.fromEntries(states) });
  assert.deepEqual(
    found,
    expected.unsettled.map(({ meta, foundAt, states }) => ({ meta, locator: foundAt, states })),
  );
  for (const { name, meta, storedAt, foundAt, states, bodyKind, body } of expected.unsettled) {
    assert.deepEqual(Object.fromEntries(await spool.states(meta.id, true)), states, name);
    for (const locator of [storedAt, foundAt, undefined]) {
      const read = await spool.read(meta.id, locator);
      assert.deepEqual(read?.meta, meta, name);
      assert.equal(read.body.kind, bodyKind, name);
      const octets = await bodyOf(read.body);
      assert.deepEqual({ octets: octets.length, crc32: crc32(octets) }, body, name);
    }
  }
  for (const { name, id } of expected.settled) {
    const kinds = [...(await spool.states(id)).values()].map(({ kind }) => kind);
    assert.ok(kinds.length > 0 && kinds.every((kind) => kind === "delivered" || kind === "bounced"), name);
  }
}

test("a spool of version 0.1 has the same unsettled messages, states and bodies as for that version", async (t) => {
  const { spool, directory, faults } = openCopy(t);
  await assertAsBefore(spool);
  // Once the killed process is taken for dead, the settlements that its records imply count for good.
  await waitFor("the killed process to be taken for dead", async () => {
    for await (const _ of spool.unsettled()) break;
    return readdirSync(join(directory, "writers")).length === 0;
  });
  await assertAsBefore(spool);
  assert.deepEqual(faults, []);
});

test("mail of a spool of version 0.1 is settled and its space is freed", async (t) => {
  const { spool, directory, faults } = openCopy(t);
  const left = (place: string) => readdirSync(join(directory, place));
  for await (const { meta, states } of spool.unsettled()) {
    const recipients = meta.envelope.recipients.map((_, n) => n).filter((n) => !states.has(n));
    await spool.settle([{ id: meta.id, recipients, state: { kind: "delivered" } }]);
    await spool.settle([{ id: meta.id, recipients: [...states.keys()], state: { kind: "removed" } }]);
  }
  for await (const { meta } of spool.unsettled()) assert.fail(`${meta.id} is settled`);
  await waitFor("all space to be freed", async () => {
    await spool.collect();
    return ["segments", "own", "large"].every((place) => left(place).length === 0);
  });
  await waitFor("the status logs of the dead writers to go", async () => {
    await spool.collect();
    return left("settled").length <= 1;
  });
  assert.deepEqual(faults, []);
});

test("a spool of version 0.1 takes further mail", async (t) => {
  const { spool, directory } = openCopy(t);
  const stored = await store(spool, "further mail");
  const again = createFsSpool({ directory, minFreeBytes: 0 });
  t.after(() => again.close());
  const ids = [];
  for await (const { meta } of again.unsettled()) ids.push(meta.id);
  assert.deepEqual(
    ids.toSorted(),
    [stored.meta.id, ...expected.unsettled.map(({ meta }) => meta.id)].toSorted(),
  );
});

test("records, status entries and heartbeats are written octet for octet as version 0.1 wrote them", async (t) => {
  const { meta, settles, origin, segment, records, locators, movedRecordHead, settlements, statusBatch } =
    expected.octets;
  const hello = { length: 5, crc: crc32("hello") };
  const laid = new BatchLayout().lay(
    [
      { head: makeHead(meta, hello, { settles }), chunks: [Buffer.from("hello")] },
      {
        head: makeHead(meta, { length: 5, crc: crc32("world") }, {}),
        chunks: [Buffer.from("wor"), Buffer.from("ld")],
      },
    ],
    segment,
    77,
  );
  assert.equal(Buffer.concat(laid.pieces).toString("base64"), records);
  const stored = Buffer.from(records, "base64");
  assert.ok(stored.includes('"stamp":1751328000000123'));
  const header = readHeader(stored, 0, placeSeed(segment));
  assert.deepEqual(header && readText(stored, 0, header, placeSeed(segment))?.extra, { settles });
  assert.deepEqual(laid.locators, locators);

  const moved = makeHead(meta, hello, { origin, large: "abcdefghijkl-14" });
  const octets = Buffer.alloc(headLength(moved));
  writeHead(octets, 0, moved, placeSeed("own/X"));
  assert.equal(octets.toString("base64"), movedRecordHead);

  assert.equal(formatBatch(settles.timestamp, settlements.map(formatLine).join("")).toString(), statusBatch);

  const fixture = makeSpoolFixture(t, { heartbeatMs: 3_600_000 });
  const { locator } = await store(fixture.open(), "x");
  const writers = join(fixture.directory, "writers");
  const heartbeat = readFileSync(join(writers, readdirSync(writers)[0] ?? ""), "latin1");
  // That version reads three fields of the line and ignores others, like the one that says what is on stable storage.
  const synced = `"synced":[${Number.parseInt(locator.segment.slice(0, 9), 36)},${locator.length}]`;
  assert.equal(heartbeat, `${`{"segmentsFrom":0,"logsFrom":0,"beat":2,${synced}}`.padEnd(127)}\n`);
});
