/** What each process with a spool measures of it: traffic, the time of the disk, and faults. */

import type { SpoolCounters } from "../spool/counters.ts";
import type { SpoolFault } from "../spool/fault.ts";
import { nodeFiles, type SpoolFiles } from "../spool/fs/disk/files.ts";
import type { Spool } from "../spool/spool.ts";
import { type Metrics, shortSecondsBuckets } from "./metrics.ts";

export interface WatchedSpool extends Pick<Spool, "faults"> {
  counters: Readonly<SpoolCounters>;
  /** To an object store, by operation. */
  requests?: Readonly<Record<string, number>>;
}

export interface SpoolMetrics {
  /** The file system, with its fdatasync timed: for the spool that is to be measured. */
  files: SpoolFiles;
  fault(kind: SpoolFault["kind"]): void;
  /** Reads the counters of this spool at each scrape. */
  watch(spool: WatchedSpool): void;
}

export function createSpoolMetrics(metrics: Metrics): SpoolMetrics {
  const synced = metrics
    .histogram(
      "spool_fsync_seconds",
      "How long the disk takes to make what was written durable (fdatasync). Clients wait for it before their 250: above 0.1 s for long, the disk is too slow or too busy.",
      shortSecondsBuckets,
    )
    .with();
  const failed = metrics
    .counter(
      "spool_fsync_failures_total",
      "fdatasync that failed: mail is refused with 451 or 452 meanwhile. Look at the disk and at the kernel's log.",
    )
    .with();
  const faults = metrics.counter(
    "spool_faults_total",
    "Faults of the spool's storage, by kind. When it grows, see `spool.trouble` in the log and 'The spool is damaged' in docs/operations.md.",
    ["kind"],
  );
  let watched: WatchedSpool | undefined;
  const count = (name: keyof SpoolCounters): (() => number) => {
    return () => watched?.counters[name] ?? 0;
  };
  metrics.counted(
    "spool_messages_written_total",
    "Messages that this process has stored: accepted ones in ingress, notifications in bounce.",
    count("commits"),
  );
  metrics.counted(
    "spool_batches_total",
    "Writes that stored them, each with one fdatasync: messages per batch rise with the load, by design.",
    count("batches"),
  );
  metrics.counted(
    "spool_written_bytes_total",
    "Octets of the records that were stored, without bodies that have a file of their own.",
    count("bytesWritten"),
  );
  metrics.counted(
    "spool_large_bodies_total",
    "Bodies that were stored in a file of their own, with one more fdatasync each.",
    count("largeBodies"),
  );
  metrics.counted("spool_reads_total", "Messages that this process has read from the spool.", count("reads"));
  metrics.counted(
    "spool_settlements_total",
    "Recipients' states that this process has recorded: delivered, failed, bounced, removed.",
    count("settlements"),
  );
  metrics.counted(
    "spool_store_requests_total",
    "Requests to the S3-compatible store of the spool, attempts that were repeated among them; what the store charges for. None with a spool on disk.",
    () => new Map(Object.entries(watched?.requests ?? {})),
    ["operation"],
  );
  metrics.gauge(
    "spool_unreadable_files",
    "Files of the spool that this process could not read lately; everything else is read all the same. Not 0: a disk fails, see 'The spool is damaged' in docs/operations.md.",
    () => watched?.faults().length ?? 0,
    [],
    // They read the same files.
    "max",
  );
  const files: SpoolFiles = {
    ...nodeFiles,
    fdatasync(fd, done) {
      const begunMs = performance.now();
      nodeFiles.fdatasync(fd, (error) => {
        if (error === null) synced.observe((performance.now() - begunMs) / 1000);
        else failed.add();
        done(error);
      });
    },
  };
  return {
    files,
    fault: (kind) => faults.with(kind).add(),
    watch(spool) {
      watched = spool;
    },
  };
}
