/** The admin service as a process of its own. It owns the process's spool. */
import path from "node:path";
import { type RunOptions, runService } from "../../shared/runtime/run-service.ts";
import { createFsSpool } from "../../shared/spool/fs-spool.ts";
import { describeTrouble, troubleFields } from "../../shared/spool/trouble.ts";
import { startAdmin } from "./admin.ts";

/** Runs until a signal ends the process. */
export function main(options: RunOptions): Promise<void> {
  let url: string | null = null;
  return runService(
    "admin",
    async ({ config, log, metrics }) => {
      if (config.redis === undefined) throw new Error("admin needs redis.url");
      const directory = path.join(config.data, "spool");
      const spool = createFsSpool({
        directory,
        onTrouble: (trouble) => log.error(troubleFields(trouble), describeTrouble(trouble)),
      });
      const holdsFile = path.join(directory, "holds.json");
      const service = await startAdmin({ config, redis: config.redis, log, metrics, spool, holdsFile });
      url = service.url;
      return {
        listening: [`admin ${url}`],
        health: () => service.health(),
        async close(graceMs) {
          await service.close(graceMs);
          await spool.close();
        },
      };
    },
    { ...options, health: false, url: () => url },
  );
}
