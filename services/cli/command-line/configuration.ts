/** The configuration for a command: loaded, or the command ends with every error in it. */
import { describeConfigErrors, loadConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { type Context, UsageError } from "./args.ts";

/** @throws UsageError with a line for each error */
export function requireConfig(context: Context): { config: Config; file: string } {
  const loaded = loadConfig({ file: context.configFile });
  if (loaded.kind === "ok") return { config: loaded.config, file: loaded.file };
  throw new UsageError("the configuration has errors", describeConfigErrors(loaded));
}
