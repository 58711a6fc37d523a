/** The admin service as a process of its own. */
import { type RunOptions, runWithSpool } from "../../shared/runtime/run-service.ts";
import { startAdmin } from "./admin.ts";

/** Runs until a signal ends the process. */
export function main(options: RunOptions): Promise<void> {
  let url: string | null = null;
  return runWithSpool(
    "admin",
    async (context) => {
      const service = await startAdmin(context);
      url = service.url;
      return { ...service, listening: [`admin ${url}`] };
    },
    { ...options, health: false, url: () => url },
  );
}
