/** A file system for the spool whose calls a test counts, lets fail or freezes, and that knows the open descriptors. */
import { closeSync } from "node:fs";
import { type FileError, nodeFiles, type SpoolFiles } from "../../../shared/spool/fs/disk/files.ts";

export type Call = keyof SpoolFiles;
/** What a call does: its work, an error, or nothing until thaw(). */
export type Effect = "do" | "freeze" | FileError;

export interface FaultyFiles {
  files: SpoolFiles;
  /** Chooses the effect of each call; may be replaced at any time. */
  decide: (call: Call, args: unknown[]) => Effect;
  /** Descriptors that are open. */
  open: Set<number>;
  /** The path that a descriptor was last opened for. */
  paths: Map<number, string>;
  counts: Map<Call, number>;
  /** Does the frozen calls; further ones work. */
  thaw(): void;
  /** Closes the descriptors that a frozen spool has left open. */
  release(): void;
}

export function failure(code: string): FileError {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** A disk with one bad sector: reads of these octets of files whose path matches fail. */
export function badSector(
  disk: FaultyFiles,
  path: RegExp,
  { from, to }: { from: number; to: number } = { from: 0, to: Number.POSITIVE_INFINITY },
): FaultyFiles["decide"] {
  return (call, args) => {
    if (call !== "read" || !path.test(disk.paths.get(args[0] as number) ?? "")) return "do";
    const [length, position] = [args[3] as number, args[4] as number];
    return position < to && position + length > from ? failure("EIO") : "do";
  };
}

/** Calls that change something on disk. */
export function changes(call: Call, args: unknown[]): boolean {
  if (call === "open") return args[1] !== "r";
  return [
    "write",
    "writev",
    "fdatasync",
    "fsync",
    "ftruncate",
    "unlink",
    "rename",
    "mkdir",
    "rmdir",
  ].includes(call);
}

type Callback = (error: FileError | null, value?: unknown) => void;

export function faultyFiles(): FaultyFiles {
  const frozen: (() => void)[] = [];
  const faulty: FaultyFiles = {
    files: nodeFiles,
    decide: () => "do",
    open: new Set(),
    paths: new Map(),
    counts: new Map(),
    thaw() {
      faulty.decide = () => "do";
      for (const go of frozen.splice(0)) go();
    },
    release() {
      for (const fd of faulty.open) closeSync(fd);
      faulty.open.clear();
    },
  };
  const wrap =
    (call: Call) =>
    (...args: unknown[]): void => {
      faulty.counts.set(call, (faulty.counts.get(call) ?? 0) + 1);
      const done = args.at(-1) as Callback;
      const go = (): void => {
        const real = nodeFiles[call] as (...all: unknown[]) => void;
        const ended: Callback = (error, value) => {
          if (call === "open" && !error) {
            faulty.open.add(value as number);
            faulty.paths.set(value as number, String(args[0]));
          }
          if (call === "close" && !error) faulty.open.delete(args[0] as number);
          done(error, value);
        };
        real(...args.slice(0, -1), ended);
      };
      const effect = faulty.decide(call, args);
      if (effect === "do") go();
      else if (effect === "freeze") frozen.push(go);
      else setImmediate(() => done(effect));
    };
  const calls = Object.keys(nodeFiles) as Call[];
  faulty.files = Object.fromEntries(calls.map((call) => [call, wrap(call)])) as unknown as SpoolFiles;
  return faulty;
}
