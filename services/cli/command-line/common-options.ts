/** Options of several commands: the configuration file, and `--grace`. */
import { describeConfigErrors, type LoadedConfig, loadConfig } from "../../../shared/config/load.ts";
import { duration } from "../../../shared/config/values.ts";
import { type Context, UsageError } from "./command.ts";

/** Loads the configuration. @throws UsageError with a line for each error in it */
export function requireConfig(context: Context): LoadedConfig & { kind: "ok" } {
  const loaded = loadConfig({ file: context.configFile });
  if (loaded.kind === "ok") return loaded;
  throw new UsageError("the configuration has errors", describeConfigErrors(loaded));
}

export const graceOption = {
  type: "string",
  value: "30s",
  help: "how long current transactions may take after SIGTERM (twice for replies to whole messages); default 30s",
} as const;

/** @throws UsageError */
export function graceMs(given = "30s"): number {
  const parsed = duration.safeParse(given);
  if (!parsed.success) throw new UsageError("needs a duration for --grace: 30s, 5m or 0");
  return parsed.data;
}

export const userOption = {
  type: "string",
  value: "NAME",
  help: "for root: open the listeners' sockets, then become this user for good",
} as const;

export const workersOption = {
  type: "string",
  value: "N",
  help: "processes that share the work, and the listeners' ports; default: the processors that this one may use",
} as const;

/** @throws UsageError */
export function workerCount(given: string): number {
  const count = Number(given);
  if (!/^\d{1,3}$/.test(given) || count === 0)
    throw new UsageError("needs a number for --workers: 1, 2 or more");
  return count;
}
