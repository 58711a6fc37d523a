/** `postern config check`: prints `ok`, or every error in the configuration; and what has no effect. */
import path from "node:path";
import { describeConfigErrors, describeWarnings, loadConfig } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { storageWarnings } from "../../shared/runtime/storage-warnings.ts";
import { defineCommand } from "./command-line/command.ts";

export const command = defineCommand({
  usage: "[--json]",
  details:
    "Exit status: 0, or 2 when it has errors. Warnings name what has no effect, and storage that the spool should not be on; they do not change the status.",
  options: {
    json: {
      type: "boolean",
      help: "print { file, ok, mistakes: [{ path, line, message }], warnings: [likewise] }",
    },
  },
  examples: [
    ["before a restart", "config check"],
    ["a configuration that is not in force yet", "config check -c new.yaml"],
  ],
  async run({ configFile, stdout, stderr }, { json }) {
    const loaded = loadConfig({ file: configFile });
    const ok = loaded.kind === "ok";
    const storage = loaded.kind === "ok" ? await warningsOfStorage(loaded.config) : [];
    if (json) {
      const ofStorage = storage.map((message) => ({ path: "data", line: 0, message }));
      const [mistakes, warnings] =
        loaded.kind === "ok" ? [[], [...loaded.warnings, ...ofStorage]] : [loaded.configErrors, []];
      stdout.write(`${JSON.stringify({ file: loaded.file, ok, mistakes, warnings }, null, 2)}\n`);
    } else if (loaded.kind === "ok") {
      for (const line of describeWarnings(loaded)) stderr.write(`${line}\n`);
      for (const line of storage) stderr.write(`warning: ${line}\n`);
      stdout.write(`${loaded.file}: ok\n`);
    } else for (const line of describeConfigErrors(loaded)) stderr.write(`${line}\n`);
    return ok ? 0 : 2;
  },
});

/** Of the spool in the data directory, on this host. */
async function warningsOfStorage({ spool, data }: Config): Promise<string[]> {
  return spool.s3 === undefined ? storageWarnings(path.join(path.resolve(data), "spool")) : [];
}
