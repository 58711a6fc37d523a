/** Runs the third-party programs of the lab tests, and finds out which of them are missing. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { waitFor } from "./wait-for.ts";

/** With the directories of servers and network tools, which are not on the PATH of every user. */
export const searchPath = `${process.env.PATH}:/usr/sbin:/sbin`;

/** For `skip` of node:test. @returns `false`, or why the test is skipped */
export function unlessInstalled(...programs: string[]): false | string {
  const missing = programs.filter((program) => {
    try {
      execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore", env: { PATH: searchPath } });
      return false;
    } catch {
      return true;
    }
  });
  return missing.length > 0 && `${missing.join(", ")} not installed`;
}

/** For tests that listen on port 25 of a loopback address. @returns `false`, or why the test is skipped */
export function unlessRoot(): false | string {
  return userInfo().uid !== 0 && "needs root";
}

export interface Ended {
  code: number;
  output: string;
}

/** Runs a program to its end. The output is standard output, then standard error. */
export function run(program: string, args: string[], timeoutMs = 60_000): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { timeout: timeoutMs, env: { ...process.env, PATH: searchPath } },
      (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code ?? 1) : 0, output: stdout + stderr }),
    );
  });
}

export interface SmtpSink {
  /** The number of accepted messages. */
  messages(): number;
  /** Each message as smtp-sink wrote it: its X- and Received lines, then the received data. */
  contents(): string[];
  stop(): Promise<void>;
}

/** Postfix's smtp-sink on `address` (`127.0.0.9:25`), which keeps the messages. The test stops it. */
export async function startSmtpSink(address: string, ...extra: string[]): Promise<SmtpSink> {
  const directory = mkdtempSync(join(tmpdir(), "postern-sink-"));
  execFileSync("chmod", ["777", directory]);
  const user = userInfo().uid === 0 ? ["-u", "nobody"] : [];
  const child: ChildProcess = spawn(
    "smtp-sink",
    [...user, ...extra, "-c", "-R", directory, "-d", "%Y%m%d%H%M.", address, "100"],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, PATH: searchPath } },
  );
  let messages = 0;
  child.stdout?.on("data", (chunk: Buffer) => {
    messages = Number([...chunk.toString("latin1").matchAll(/mesg=(\d+)\r/g)].at(-1)?.[1] ?? messages);
  });
  await waitFor(`smtp-sink on ${address}`, async () => {
    if (child.exitCode !== null) throw new Error(`smtp-sink ended: ${child.stderr?.read()}`);
    const { code } = await run("bash", ["-c", `exec 3<>/dev/tcp/${address.replace(":", "/")}`]);
    return code === 0;
  });
  return {
    messages: () => messages,
    contents: () => readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8")),
    async stop() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null) {
        child.kill();
        await ended;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
