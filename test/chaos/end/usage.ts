/** Memory and descriptors of the processes of the gateway: at the end they have to be back near where they were. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { GatewayProcesses } from "../gateway/processes.ts";
import type { Recorder } from "../history/recorder.ts";

export interface Usage {
  residentBytes: number;
  descriptors: number;
}

/** By the name of the process; one that is not running now is left out. */
export type UsageByProcess = ReadonlyMap<string, Usage>;

export function measureUsage({ programs }: GatewayProcesses): UsageByProcess {
  const usage = new Map<string, Usage>();
  for (const { name, pid } of programs) {
    const measured = pid === undefined ? undefined : usageOf(pid);
    if (measured !== undefined) usage.set(name, measured);
  }
  return usage;
}

function usageOf(pid: number): Usage | undefined {
  try {
    const [, kilobytes = "0"] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return { residentBytes: Number(kilobytes) * 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}

/** What a process may keep: a heap that the collector has no reason to shrink, idle connections and open segments. */
const mayKeep: Usage = { residentBytes: 200 * 1024 ** 2, descriptors: 30 };

/** What is too much (pure), in words. */
export function excessOf(before: UsageByProcess, after: UsageByProcess): string[] {
  const excess: string[] = [];
  for (const [name, { residentBytes, descriptors }] of after) {
    const start = before.get(name);
    if (start === undefined) continue;
    if (descriptors > start.descriptors + mayKeep.descriptors)
      excess.push(`${name} has ${descriptors} open descriptors, and had ${start.descriptors} at its start`);
    if (residentBytes > start.residentBytes + mayKeep.residentBytes)
      excess.push(
        `${name} has ${megabytes(residentBytes)} of memory, and had ${megabytes(start.residentBytes)} at its start`,
      );
  }
  return excess;
}

function megabytes(octets: number): string {
  return `${Math.round(octets / 1024 ** 2)} MB`;
}

/** Idle connections and old segments are closed after a while: it gets the time for that. */
const patienceMs = 120_000;

export async function checkUsage(
  gateway: GatewayProcesses,
  before: UsageByProcess,
  recorder: Recorder,
): Promise<UsageByProcess> {
  const startedAt = performance.now();
  for (;;) {
    const after = measureUsage(gateway);
    const excess = excessOf(before, after);
    if (excess.length === 0) return after;
    if (performance.now() - startedAt > patienceMs) {
      for (const what of excess) recorder.record({ kind: "leftover", what });
      return after;
    }
    await wait(1_000);
  }
}
