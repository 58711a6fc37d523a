/** `postern config check`: prints `ok`, or every error in the configuration; and what has no effect. */
import { describeConfigErrors, describeWarnings, loadConfig } from "../../shared/config/load.ts";
import { defineCommand } from "./command-line/args.ts";

export const configCheck = defineCommand({
  name: "config check",
  summary: "Check the configuration, and print every error in it with its line",
  usage: "[--json]",
  options: {
    json: {
      type: "boolean",
      help: "print { file, ok, mistakes: [{ path, line, message }], warnings: [likewise] }",
    },
  },
  async run({ configFile, stdout, stderr }, { json }) {
    const loaded = loadConfig({ file: configFile });
    const ok = loaded.kind === "ok";
    if (json) {
      const [mistakes, warnings] = loaded.kind === "ok" ? [[], loaded.warnings] : [loaded.configErrors, []];
      stdout.write(`${JSON.stringify({ file: loaded.file, ok, mistakes, warnings }, null, 2)}\n`);
    } else if (loaded.kind === "ok") {
      for (const line of describeWarnings(loaded)) stderr.write(`${line}\n`);
      stdout.write(`${loaded.file}: ok\n`);
    } else for (const line of describeConfigErrors(loaded)) stderr.write(`${line}\n`);
    return ok ? 0 : 2;
  },
});
