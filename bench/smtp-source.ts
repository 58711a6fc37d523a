/** Runs Postfix's smtp-source, which makes the load. */
import { run } from "./peers/program.ts";

export interface Load {
  name: string;
  sessions: number;
  messages: number;
  bytes: number;
  /** Many messages on one connection, or a connection for each. */
  reuse: boolean;
}

/**
 * Resolves when the server has accepted all.
 * @param target   `host:port`
 * @param options  `extra`: further options of smtp-source; `prefix`: words before the command, such as `ip netns exec NAME`
 */
export async function sendLoad(
  target: string,
  load: Omit<Load, "name">,
  options: { recipient?: string; extra?: string[]; prefix?: string[] } = {},
): Promise<void> {
  const { recipient = "recipient@example.com", extra = [], prefix = [] } = options;
  const [word = "smtp-source", ...words] = [...prefix, "smtp-source"];
  await run(word, [
    ...words,
    ...(load.reuse ? ["-d"] : []),
    ...["-s", String(load.sessions), "-m", String(load.messages), "-l", String(load.bytes)],
    ...["-f", "sender@bench.example.net", "-t", recipient, ...extra, target],
  ]);
}
