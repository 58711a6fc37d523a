/** Settings of a spool in an S3-compatible store, and their defaults. */
import type { OnFault, SpoolFault } from "../fault.ts";
import type { ProbeReport } from "./store/probe.ts";

export interface S3SpoolOptions {
  bucket: string;
  /** What all keys begin with; gateways with the same bucket and prefix share a spool. */
  prefix?: string;
  region?: string;
  /** Absent: Amazon's of the region. */
  endpoint?: string;
  /** The bucket in the path of the URL, not in its host name. Absent: with an endpoint. */
  pathStyle?: boolean;
  /** Absent: from the environment, files or the machine's role, as the AWS SDK finds them. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  /** A local directory for copies of what was written lately, and for large bodies on their way. */
  directory: string;
  /** How long records wait for others that share their object. */
  batchMs?: number;
  /** Octets of records after which they wait no longer. */
  batchBytes?: number;
  /** Bodies above this have an object of their own. */
  largeBytes?: number;
  /** Octets that all open drafts hold in memory together; above it bodies go to local files at once. */
  draftMemoryBytes?: number;
  /** Octets of one part of a multipart upload; at least 5 MiB on Amazon. */
  partBytes?: number;
  /** Octets of local copies. */
  cacheBytes?: number;
  /** How long one attempt of a request may take, and how long attempts are repeated. */
  attemptMs?: number;
  repeatMs?: number;
  /** How often the settlements of other processes are read. */
  followMs?: number;
  /** How often what records settle is looked for in objects of other processes. */
  impliedMs?: number;
  /** Age of an object after which its messages may be joined with those of others. */
  moveAfterMs?: number;
  /** Objects that were copied are removed so long afterwards, so that a list that others are reading still holds. */
  lingerMs?: number;
  /** How long settlements are kept after their messages are gone. */
  forgetAfterMs?: number;
  /** Age at which a body without a record, and a multipart upload that was not completed, are removed. */
  orphanAfterMs?: number;
  /** After a write that took longer, a probe is written every second until one is faster. */
  slowMs?: number;
  /**
   * Opened to hand mail over, although services are kept away. A write without an answer is not withdrawn then: the message
   * is not refused, and is written again.
   */
  forHandover?: boolean;
  onFault?: OnFault;
  /** Hears what the store can do, once it is known. */
  onProbe?: (report: ProbeReport) => void;
  /** Epoch milliseconds, for names and timestamps; for tests. */
  nowMs?: () => number;
  /** Milliseconds of a clock that is never set, for ages; for tests. */
  monotonicMs?: () => number;
}

export const defaultS3SpoolOptions = {
  prefix: "",
  region: "us-east-1",
  batchMs: 50,
  batchBytes: 8 * 1024 * 1024,
  largeBytes: 256 * 1024,
  draftMemoryBytes: 64 * 1024 * 1024,
  partBytes: 8 * 1024 * 1024,
  cacheBytes: 256 * 1024 * 1024,
  attemptMs: 10_000,
  repeatMs: 30_000,
  followMs: 1000,
  impliedMs: 10_000,
  moveAfterMs: 600_000,
  lingerMs: 15_000,
  // Ten times what a late compaction may take; see compactionCounts().
  forgetAfterMs: 600_000,
  orphanAfterMs: 24 * 3_600_000,
  slowMs: 2000,
  forHandover: false,
  onFault: (_fault: SpoolFault): void => {},
  onProbe: (_report: ProbeReport): void => {},
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
};

/** All settings, with those that have no default. */
export type S3SpoolSettings = typeof defaultS3SpoolOptions & S3SpoolOptions;
