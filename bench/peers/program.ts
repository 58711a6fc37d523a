/** Starts third-party programs in directories of their own. The benchmark that starts one stops it. */
import { type ChildProcess, spawn } from "node:child_process";
import net from "node:net";
import { searchPath } from "../../test/support/programs.ts";

/** Waits for a greeting. @throws Error when none comes within 30 s */
export async function untilGreets(port: number, host = "127.0.0.1"): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const greeted = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ port, host });
      socket.once("data", () => {
        socket.end("QUIT\r\n");
        resolve(true);
      });
      socket.once("error", () => resolve(false));
      socket.setTimeout(2000, () => {
        socket.destroy();
        resolve(false);
      });
    });
    if (greeted) return;
    if (Date.now() > deadline) throw new Error(`nothing greets on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await ended;
}

/**
 * Runs a program to its end; its exit status must be 0.
 * @returns its standard output
 */
export async function run(program: string, args: string[]): Promise<string> {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: searchPath },
  });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const code = await new Promise((resolve, reject) => child.once("close", resolve).once("error", reject));
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: exit ${code}: ${errors.slice(0, 500)}`);
  return output;
}
