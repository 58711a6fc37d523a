/** CPU time of the processes of a peer, from /proc. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessName {
  /** The name of a service or program: `ingress`, `redis-server`, `smtpd`. */
  name: string;
  pid: number;
}

/** CPU seconds by process name; `ended` is the sum of the children that have exited. */
export type CpuSeconds = ReadonlyMap<string, number>;

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"]).toString());
const services = new Set(["ingress", "delivery", "bounce", "admin"]);

/** The children of a process, and theirs; a Node process is named after the service that it runs. */
export function childrenOf(parent: number): ProcessName[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name): [pid: number, parent: number | undefined] => [Number(name), statOf(Number(name))?.parent]);
  const below = (above: number): number[] =>
    parents.filter(([, each]) => each === above).flatMap(([pid]) => [pid, ...below(pid)]);
  return below(parent).map((pid) => ({ pid, name: nameOf(pid) }));
}

/** @param parent  its children that have exited count as `ended` */
export function cpuSeconds(processes: ProcessName[], parent?: number): CpuSeconds {
  const seconds = new Map<string, number>();
  for (const { name, pid } of processes) {
    seconds.set(name, (seconds.get(name) ?? 0) + (statOf(pid)?.ticks ?? 0) / ticksPerSecond);
  }
  if (parent !== undefined) seconds.set("ended", (statOf(parent)?.childTicks ?? 0) / ticksPerSecond);
  return seconds;
}

/** CPU milliseconds a message between two readings, by name; a process without CPU time is left out. */
export function cpuPerMessage(
  before: CpuSeconds,
  after: CpuSeconds,
  messages: number,
): Record<string, number> {
  const used = [...after].map(([name, seconds]) => [name, seconds - (before.get(name) ?? 0)] as const);
  return Object.fromEntries(
    used.filter(([, seconds]) => seconds > 0).map(([name, seconds]) => [name, (seconds * 1000) / messages]),
  );
}

/** The mean of several rounds. */
export function meanCpu(rounds: Record<string, number>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const round of rounds) {
    for (const [name, value] of Object.entries(round)) sums[name] = (sums[name] ?? 0) + value / rounds.length;
  }
  return sums;
}

function nameOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
    const service = words.find((word) => services.has(word));
    return service ?? readFileSync(`/proc/${pid}/comm`, "latin1").trim();
  } catch {
    return "";
  }
}

interface Stat {
  parent: number;
  ticks: number;
  childTicks: number;
}

/** proc(5): after the name in parentheses come state, ppid …; utime, stime, cutime and cstime are fields 14 to 17. */
function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text
      .slice(text.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
    return { parent: fields[1] ?? 0, ticks: utime + stime, childTicks: cutime + cstime };
  } catch {
    return undefined;
  }
}
