/** The delivery service as a process of its own. */
import type { RunOptions } from "../../shared/runtime/run-service.ts";
import { runWithSpool } from "../../shared/runtime/run-with-spool.ts";
import { startDelivery } from "./delivery.ts";

/** Runs until a signal ends the process. */
export function main(options: RunOptions): Promise<void> {
  return runWithSpool("delivery", startDelivery, options);
}
