/** The postern program, with the list of its commands. */
import { readFileSync } from "node:fs";
import { configCheck } from "./config-check.ts";
import { dispatch } from "./dispatch.ts";
import { explain } from "./explain.ts";
import { health } from "./health.ts";
import { interceptCommands } from "./intercept/command.ts";
import { queueCommands } from "./queue/queue.ts";
import { queueExport } from "./queue/queue-export.ts";
import { serviceCommands } from "./service.ts";
import { upCommand } from "./up/up.ts";
import { userCommands } from "./user/user.ts";

const commands = [
  upCommand,
  ...serviceCommands,
  configCheck,
  explain,
  ...queueCommands,
  queueExport,
  ...userCommands,
  health,
  ...interceptCommands,
];

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

// `postern queue list | head` closes the pipe early, which is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await dispatch({ commands, version }, process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
});
