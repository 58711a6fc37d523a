/** Settings of a spool on a file system, and their defaults. */
import type { OnFault, SpoolFault } from "../fault.ts";
import { nodeFiles, type SpoolFiles } from "./disk/files.ts";

export interface FsSpoolOptions {
  directory: string;
  /** Below this much free space draft() throws SpoolFull. Settlements and collecting need some, too. */
  minFreeBytes?: number;
  /** A segment that has grown to this is closed. */
  segmentBytes?: number;
  /** A segment with records is closed at this age. */
  segmentAgeMs?: number;
  /** Bodies above this go to files of their own. */
  largeBytes?: number;
  /** Octets that all open drafts hold in memory together; above it bodies go to files of their own at once. */
  draftMemoryBytes?: number;
  /** Size and age at which a status log is closed. */
  logBytes?: number;
  logAgeMs?: number;
  /** Age of a segment, and share of its messages that may still be unsettled (0..1), for these to be moved out. */
  moveAfterMs?: number;
  moveShare?: number;
  /** How long settlements are kept after their messages are gone. */
  forgetAfterMs?: number;
  /** Age at which a body without a record, of a process that is gone, is removed. */
  orphanAfterMs?: number;
  /** How often this process writes its heartbeat, and how long another may be silent before it is taken for dead. */
  heartbeatMs?: number;
  deadAfterMs?: number;
  /** How often the settlements of other processes are read. */
  followMs?: number;
  /** After a write that took longer, a probe is written every second until one is faster. */
  slowMs?: number;
  /** Faults that no caller hears of. */
  onFault?: OnFault;
  /** Epoch milliseconds, for names and timestamps; for tests. */
  nowMs?: () => number;
  /** Milliseconds of a clock that is never set, for ages; for tests. */
  monotonicMs?: () => number;
  /** The file system; for tests. */
  files?: SpoolFiles;
}

export const defaultFsSpoolOptions = {
  minFreeBytes: 64 * 1024 * 1024,
  segmentBytes: 64 * 1024 * 1024,
  segmentAgeMs: 60_000,
  largeBytes: 256 * 1024,
  draftMemoryBytes: 64 * 1024 * 1024,
  logBytes: 1024 * 1024,
  logAgeMs: 60_000,
  moveAfterMs: 600_000,
  moveShare: 0.1,
  forgetAfterMs: 60_000,
  orphanAfterMs: 3_600_000,
  heartbeatMs: 2000,
  // Below BullMQ's 30 s, after which another worker takes the job of a dead one: the spool must know it is dead by then.
  deadAfterMs: 15_000,
  followMs: 500,
  slowMs: 500,
  onFault: (_fault: SpoolFault): void => {},
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  files: nodeFiles,
};
