/** The postern program. */
import { readFileSync } from "node:fs";
import { commands } from "./commands.ts";
import { dispatch } from "./dispatch.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

// `postern queue list | head` closes the pipe early, which is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const words = process.argv.slice(2);
if (words[0] === "complete" && words[1] === "--") {
  // Asked by the scripts of `postern completion`.
  const { complete } = await import("./completion/complete.ts");
  process.stdout.write(await complete(commands, words.slice(2)));
} else {
  process.exitCode = await dispatch({ commands, version }, words, {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}
