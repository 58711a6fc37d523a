/** Opens the spool that the configuration asks for: in the data directory, or in an S3-compatible store. The caller closes it. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Config } from "../config/schema.ts";
import { whyClosed } from "../spool/closure.ts";
import type { OnFault } from "../spool/fault.ts";
import { createFsSpool } from "../spool/fs/fs-spool.ts";
import { defaultFsSpoolOptions } from "../spool/fs/options.ts";
import { whyHandedOver } from "../spool/handover/handover-file.ts";
import type { S3SpoolOptions } from "../spool/s3/options.ts";
import type { S3Spool } from "../spool/s3/s3-spool.ts";
import type { Spool } from "../spool/spool.ts";
import type { Logger } from "./log.ts";
import type { SpoolMetrics } from "./spool-metrics.ts";
import { CannotStart, orCannotUse } from "./start-failure.ts";
import { storageWarnings } from "./storage-warnings.ts";
import { withTimeout } from "./with-timeout.ts";

export interface OpenSpoolOptions {
  config: Config;
  /** Of the spool in the data directory, and of what else is kept beside it. */
  directory: string;
  onFault: OnFault;
  metrics: SpoolMetrics;
  log: Logger;
}

export interface OpenedSpool {
  spool: Spool;
  /** The process is about to stop: a store that has not answered since the start is not waited for any longer. */
  giveUp(): void;
}

/** @throws CannotStart when a directory cannot be made, or its mail was handed over; a store that does not answer refuses mail until it does */
export async function openSpool({
  config,
  directory,
  onFault,
  metrics,
  log,
}: OpenSpoolOptions): Promise<OpenedSpool> {
  const { s3 } = config.spool;
  if (s3 !== undefined) return openS3Spool(s3, { config, directory, onFault, metrics, log });
  const elsewhere = orCannotUse(config.data, () => whyHandedOver(directory));
  if (elsewhere !== undefined) throw new CannotStart(elsewhere);
  const { files } = metrics;
  const spool = orCannotUse(config.data, () =>
    createFsSpool({ directory, onFault, files, ...slowness(config, defaultFsSpoolOptions.slowMs) }),
  );
  metrics.watch(spool);
  for (const warning of await storageWarnings(directory)) log.warn(warning);
  return { spool, giveUp() {} };
}

async function openS3Spool(
  s3: NonNullable<Config["spool"]["s3"]>,
  { config, directory, onFault, metrics, log }: OpenSpoolOptions,
): Promise<OpenedSpool> {
  const cache = path.join(config.data, "spool-cache");
  orCannotUse(config.data, () => {
    for (const each of [directory, cache]) mkdirSync(each, { recursive: true, mode: 0o700 });
  });
  // Loaded for those who use it: the SDK is large.
  const { createS3Spool } = await import("../spool/s3/s3-spool.ts");
  const { defaultS3SpoolOptions } = await import("../spool/s3/options.ts");
  const { bucket, prefix } = s3;
  const spool = createS3Spool({
    ...optionsOfStore(s3),
    directory: cache,
    onFault,
    onProbe: (report) => log.info({ bucket, prefix, ...report }, "the spool's store answers"),
    ...slowness(config, defaultS3SpoolOptions.slowMs),
  });
  const why = await whyNotAdmitted(spool);
  if (why !== undefined) {
    await spool.close();
    throw new CannotStart(why);
  }
  metrics.watch(spool);
  return { spool, giveUp: () => spool.giveUp() };
}

/** How long a start waits for a store that does not answer. Afterwards the spool itself goes on asking, and takes no mail before. */
const admissionMs = 10_000;

/** Why services may not use the spool now, as far as the store says so at once. */
async function whyNotAdmitted(spool: S3Spool): Promise<string | undefined> {
  const asked = spool.admitted().then(
    () => undefined,
    () => spool.closure.read(),
  );
  const closed = await withTimeout(asked, admissionMs).catch(() => undefined);
  return closed && whyClosed(closed);
}

/**
 * Opens a spool in a store to hand mail over, while services are kept away. The caller closes it.
 * @param directory  a local one of the caller's own, for large bodies on their way
 */
export async function openForHandover(
  s3: NonNullable<Config["spool"]["s3"]>,
  directory: string,
): Promise<{ name: string; spool: S3Spool }> {
  const { createS3Spool } = await import("../spool/s3/s3-spool.ts");
  return {
    name: storeName(s3),
    spool: createS3Spool({ ...optionsOfStore(s3), batchMs: 5, directory, forHandover: true }),
  };
}

/** For people. */
export function storeName({
  bucket,
  prefix,
  endpoint,
}: Pick<NonNullable<Config["spool"]["s3"]>, "bucket" | "prefix" | "endpoint">): string {
  return `s3://${bucket}/${prefix}${endpoint === undefined ? "" : ` at ${endpoint}`}`;
}

/** The settings of `spool.s3` as the spool takes them. */
function optionsOfStore(s3: NonNullable<Config["spool"]["s3"]>): Omit<S3SpoolOptions, "directory"> {
  const { endpoint, path_style, access_key_id, secret_access_key, session_token } = s3;
  return {
    bucket: s3.bucket,
    prefix: s3.prefix,
    region: s3.region,
    batchMs: s3.batch,
    cacheBytes: s3.cache,
    attemptMs: s3.timeout,
    ...(endpoint !== undefined && { endpoint }),
    ...(path_style !== undefined && { pathStyle: path_style }),
    ...(access_key_id !== undefined &&
      secret_access_key !== undefined && {
        credentials: {
          accessKeyId: access_key_id,
          secretAccessKey: secret_access_key,
          ...(session_token !== undefined && { sessionToken: session_token }),
        },
      }),
  };
}

/** Whether a storage that was slow is well again must be known by when mail is to be taken again. */
function slowness({ limits }: Config, slowMs: number): { slowMs?: number } {
  const { disk_latency } = limits.pressure;
  return disk_latency === 0 ? {} : { slowMs: Math.min(slowMs, disk_latency / 4) };
}
