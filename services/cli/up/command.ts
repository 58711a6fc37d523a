/** `postern up` on the command line. */
import { defineCommand, UsageError } from "../command-line/args.ts";
import { requireConfig } from "../command-line/configuration.ts";
import { graceMs, graceOption } from "../command-line/grace.ts";
import { up } from "./up.ts";

export const upCommand = defineCommand({
  name: "up",
  summary: "Run everything on this machine, with a Redis of its own unless redis is configured",
  usage: "[--grace 30s] [--log text|json]",
  options: {
    grace: graceOption,
    log: {
      type: "string",
      value: "text|json",
      help: "text for people (on a terminal), json for machines (elsewhere)",
    },
  },
  run(context, values) {
    const { config, file } = requireConfig(context);
    const log = values.log ?? (process.stdout.isTTY ? "text" : "json");
    if (log !== "text" && log !== "json") throw new UsageError("takes --log text or --log json");
    return up({ config, configFile: file, graceMs: graceMs(values.grace), log });
  },
});
