/** Runs a service that works on the spool and on Redis, which is each of them. Owns the process's spool. */
import path from "node:path";
import { describeFault, faultFields } from "../spool/fs/disk/fault.ts";
import { createFsSpool } from "../spool/fs/fs-spool.ts";
import type { Spool } from "../spool/spool.ts";
import type { RedisConfig } from "./redis.ts";
import { type RunOptions, runService, type ServiceContext } from "./run-service.ts";
import type { RunningService } from "./service.ts";

export interface SpoolContext extends ServiceContext {
  redis: RedisConfig;
  spool: Spool;
  /** Where the hold rules have their second copy. */
  holdsFile: string;
}

/** Runs until a signal ends the process. */
export function runWithSpool(
  name: string,
  start: (context: SpoolContext) => Promise<RunningService>,
  options: RunOptions,
): Promise<void> {
  return runService(
    name,
    async (context) => {
      const { config, log } = context;
      if (config.redis === undefined) throw new Error(`${name} needs redis.url`);
      const directory = path.join(config.data, "spool");
      const spool = createFsSpool({
        directory,
        onFault: (fault) => log.error(faultFields(fault), describeFault(fault)),
      });
      const holdsFile = path.join(directory, "holds.json");
      const service = await start({ ...context, redis: config.redis, spool, holdsFile });
      return {
        ...service,
        async close(graceMs) {
          await service.close(graceMs);
          await spool.close();
        },
      };
    },
    options,
  );
}
