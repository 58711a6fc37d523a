/** The bounce service as a process of its own. */
import { type RunOptions, runWithSpool } from "../../shared/runtime/run-service.ts";
import { startBounce } from "./bounce.ts";

/** Runs until a signal ends the process. */
export function main(options: RunOptions): Promise<void> {
  return runWithSpool("bounce", startBounce, options);
}
