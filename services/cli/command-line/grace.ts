/** `--grace 30s`: how long current transactions may take once a process is asked to stop. */
import { duration } from "../../../shared/config/values.ts";
import { UsageError } from "./args.ts";

export const graceOption = {
  type: "string",
  value: "30s",
  help: "how long current transactions may take after SIGTERM; 30s when absent",
} as const;

/** @throws UsageError */
export function graceMs(given = "30s"): number {
  const parsed = duration.safeParse(given);
  if (!parsed.success) throw new UsageError("needs a duration for --grace: 30s, 5m or 0");
  return parsed.data;
}
