/** What a crash and a bad disk leave in the files of a process that is gone: a torn last record, and a flipped bit. */
import { appendFileSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import {
  headerLength,
  placeSeed,
  readHeader,
  readText,
  recordLength,
} from "../../../shared/spool/records/record.ts";
import type { SupervisedProgram } from "../gateway/supervised.ts";
import type { Destroyed } from "../history/events.ts";
import type { Random } from "../random.ts";
import type { FaultKindOf, Stage } from "./fault.ts";

const writers = ["ingress-1", "ingress-2", "delivery-1", "delivery-2", "bounce-1", "bounce-2"];

/** Kills a process; its files are damaged before it starts again. */
function killAndDamage(
  { gateway, recorder }: Stage,
  random: Random,
  damage: (files: string[]) => void,
): void {
  const program = gateway.named(random.pick(writers));
  const files = openSpoolFiles(program);
  if (!program.signal("SIGKILL")) return;
  recorder.record({ kind: "fault", fault: "kill", target: program.name });
  program.beforeNextStart = () => damage(files);
}

/** The segments and status logs that it writes; those of others it only reads. */
function openSpoolFiles({ pid }: SupervisedProgram): string[] {
  if (pid === undefined) return [];
  try {
    return readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => isForWriting(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1")))
      .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
      .filter((path) => /\/(segments|settled)\/[^/]+\.(seg|log)$/.test(path));
  } catch {
    return [];
  }
}

/** proc(5): the octal flags of open(2), of which the last two bits are the access mode. */
function isForWriting(info: string): boolean {
  return (Number.parseInt(/^flags:\s+(\d+)/m.exec(info)?.[1] ?? "0", 8) & 3) !== 0;
}

export const tearRecord: FaultKindOf = {
  name: "torn-record",
  weight: 2,
  needsMs: 5_000,
  async happen(stage, random) {
    killAndDamage(stage, random, (files) => {
      for (const file of files) {
        const octets = readFileSync(file);
        const record = file.endsWith(".seg") ? firstRecord(octets, nameOf(file)) : firstBatch(octets);
        if (record === undefined) continue;
        appendFileSync(file, record.subarray(0, random.between(1, record.length - 1)));
        stage.recorder.record({ kind: "fault", fault: "torn-record", target: placeOf(file) });
      }
    });
  },
};

export const flipBit: FaultKindOf = {
  name: "flipped-byte",
  weight: 1,
  needsMs: 5_000,
  async happen(stage, random) {
    killAndDamage(stage, random, (files) => {
      const full = files.filter((file) => readFileSync(file).length > 0);
      if (full.length === 0) return;
      const file = random.pick(full);
      const octets = readFileSync(file);
      const at = random.between(0, octets.length - 1);
      // Before the damage: the envelope may be what it hits.
      const destroyed = file.endsWith(".seg") ? recordsAt(octets, nameOf(file), at) : batchesAt(octets, at);
      octets[at] = (octets[at] ?? 0) ^ (1 << random.between(0, 7));
      writeFileSync(file, octets);
      stage.recorder.record({ kind: "fault", fault: "flipped-byte", target: placeOf(file), destroyed });
    });
  },
};

function nameOf(file: string): string {
  return basename(file, ".seg");
}

function placeOf(file: string): string {
  return file.split("/").slice(-2).join("/");
}

function firstRecord(octets: Buffer, name: string): Buffer | undefined {
  if (octets.length < headerLength) return undefined;
  const header = readHeader(octets, 0, placeSeed(name));
  return header === undefined ? undefined : octets.subarray(0, recordLength(header));
}

function firstBatch(octets: Buffer): Buffer | undefined {
  const end = octets.indexOf("\n=");
  const batch = octets.subarray(0, end === -1 ? octets.length : end + 1);
  return batch.length < 2 ? undefined : batch;
}

/** The message whose record has this octet. */
function recordsAt(octets: Buffer, name: string, at: number): Destroyed[] {
  const seed = placeSeed(name);
  let start = 0;
  while (start + headerLength <= octets.length) {
    const header = readHeader(octets, start, seed);
    if (header === undefined) break;
    const end = start + recordLength(header);
    if (at < end) {
      const text = readText(octets, start, header, seed);
      const recipients = text?.meta().envelope.recipients.map(({ address }) => address) ?? [];
      if (text === undefined) return [];
      // A notification's record says as well that the failure is reported.
      const { settles } = text.extra;
      const settled = settles === undefined ? [] : [{ id: settles.id, recipients: [] }];
      return [{ id: text.id, recipients }, ...settled];
    }
    start = end;
  }
  return [];
}

/** The messages of the batches of a status log that have this octet, or begin or end at it. */
function batchesAt(octets: Buffer, at: number): Destroyed[] {
  const start = Math.max(0, octets.lastIndexOf("\n=", Math.max(0, at - 2)));
  const end = octets.indexOf("\n=", at + 2);
  const text = octets.toString("latin1", start, end === -1 ? octets.length : end);
  const ids = text.split("\n").flatMap((line) => /^([0-9A-Z]+) [a-z]/.exec(line)?.[1] ?? []);
  return [...new Set(ids)].map((id) => ({ id, recipients: [] }));
}
