/** Opens the spool that the configuration asks for: in the data directory, or in an S3-compatible store. The caller closes it. */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { Config } from "../config/schema.ts";
import type { OnFault } from "../spool/fault.ts";
import { createFsSpool } from "../spool/fs/fs-spool.ts";
import { defaultFsSpoolOptions } from "../spool/fs/options.ts";
import { whyHandedOver } from "../spool/handover/handover-file.ts";
import type { Spool } from "../spool/spool.ts";
import type { Logger } from "./log.ts";
import type { SpoolMetrics } from "./spool-metrics.ts";
import { CannotStart, orCannotUse } from "./start-failure.ts";

export interface OpenSpoolOptions {
  config: Config;
  /** Of the spool in the data directory, and of what else is kept beside it. */
  directory: string;
  onFault: OnFault;
  metrics: SpoolMetrics;
  log: Logger;
}

/** @throws CannotStart when a directory cannot be made, or its mail was handed over; a store that does not answer refuses mail until it does */
export async function openSpool({
  config,
  directory,
  onFault,
  metrics,
  log,
}: OpenSpoolOptions): Promise<Spool> {
  const { s3 } = config.spool;
  if (s3 !== undefined) return openS3Spool(s3, { config, directory, onFault, metrics, log });
  const elsewhere = orCannotUse(config.data, () => whyHandedOver(directory));
  if (elsewhere !== undefined) throw new CannotStart(elsewhere);
  const { files } = metrics;
  const spool = orCannotUse(config.data, () =>
    createFsSpool({ directory, onFault, files, ...slowness(config, defaultFsSpoolOptions.slowMs) }),
  );
  metrics.watch(spool);
  return spool;
}

async function openS3Spool(
  s3: NonNullable<Config["spool"]["s3"]>,
  { config, directory, onFault, metrics, log }: OpenSpoolOptions,
): Promise<Spool> {
  const cache = path.join(config.data, "spool-cache");
  orCannotUse(config.data, () => {
    for (const each of [directory, cache]) mkdirSync(each, { recursive: true, mode: 0o700 });
  });
  // Loaded for those who use it: the SDK is large.
  const { createS3Spool } = await import("../spool/s3/s3-spool.ts");
  const { defaultS3SpoolOptions } = await import("../spool/s3/options.ts");
  const { bucket, prefix, endpoint, region, path_style, access_key_id, secret_access_key, session_token } =
    s3;
  const spool = createS3Spool({
    bucket,
    prefix,
    region,
    batchMs: s3.batch,
    cacheBytes: s3.cache,
    attemptMs: s3.timeout,
    directory: cache,
    onFault,
    onProbe: (report) => log.info({ bucket, prefix, ...report }, "the spool's store answers"),
    ...slowness(config, defaultS3SpoolOptions.slowMs),
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
  });
  metrics.watch(spool);
  return spool;
}

/** Whether a storage that was slow is well again must be known by when mail is to be taken again. */
function slowness({ limits }: Config, slowMs: number): { slowMs?: number } {
  const { disk_latency } = limits.pressure;
  return disk_latency === 0 ? {} : { slowMs: Math.min(slowMs, disk_latency / 4) };
}
