/** HAProxy in TCP mode as a transparent proxy: intercepted connections go on to where they were going, from the client's address. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "../../test/support/wait-for.ts";
import { type CpuSeconds, cpuSeconds } from "../processes.ts";
import { end, run } from "./program.ts";

export interface Haproxy {
  cpu(): CpuSeconds;
  stop(): Promise<void>;
}

/**
 * @param port    where it listens transparently
 * @param prefix  words before the command: the host that it runs on
 */
export async function startHaproxy(port: number, directory: string, prefix: string[]): Promise<Haproxy> {
  const file = join(directory, "haproxy.cfg");
  writeFileSync(
    file,
    `global
defaults
  mode tcp
  timeout connect 10s
  timeout client 5m
  timeout server 5m
  option splice-auto
listen smtp
  bind 0.0.0.0:${port} transparent
  server chosen 0.0.0.0 source 0.0.0.0 usesrc clientip
`,
  );
  const [word = "", ...words] = prefix;
  const child = spawn(word, [...words, "haproxy", "-db", "-f", file], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  await waitFor("HAProxy to listen", async () => {
    if (child.exitCode !== null) throw new Error("haproxy ended");
    return (await run(word, [...words, "ss", "-Hltn", `sport = :${port}`])).includes(String(port));
  });
  return {
    cpu: () => cpuSeconds([{ name: "haproxy", pid: child.pid ?? 0 }]),
    stop: () => end(child),
  };
}
