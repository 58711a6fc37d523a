/** A process that accepts mail as fast as it can, and is killed in the middle of it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Spool } from "../../shared/spool/spool.ts";
import { bodyOf } from "../contract/spool.ts";
import { waitFor } from "./wait-for.ts";

/** The process that is killed: see spool-acceptor.ts. */
const acceptor = join(import.meta.dirname, "spool-acceptor.ts");

interface Line {
  /** `settling` and not `settled`: killed in between, it may have been recorded or not. */
  event: "accepted" | "settling" | "settled";
  id: string;
  size: number;
  locator: Locator;
}

/** Runs an acceptor until it has written `lines` lines and for `extraMs` more; returns all of its lines. */
async function acceptUntilKilled(
  directory: string,
  lines: number,
  extraMs: number,
  ...inStore: string[]
): Promise<Line[]> {
  // A file takes the lines without delay, while a pipe may be full.
  const path = `${directory}.said`;
  const output = openSync(path, "w");
  const child = spawn(process.execPath, [acceptor, directory, ...inStore], {
    stdio: ["ignore", output, "inherit"],
  });
  closeSync(output);
  const ended = new Promise((resolve) => child.once("close", resolve));
  const said = (): string[] => readFileSync(path, "utf8").split("\n").slice(0, -1);
  await waitFor("messages to be accepted", () => child.exitCode !== null || said().length >= lines);
  setTimeout(() => child.kill("SIGKILL"), extraMs);
  await ended;
  assert.equal(child.signalCode, "SIGKILL");
  return said().map((line) => JSON.parse(line) as Line);
}

export interface KilledStorage {
  /** What the acceptor needs besides the directory. */
  arguments: string[];
  rounds: number;
  open(): Spool;
}

/** Kills a process that accepts mail, again and again, and holds what another one finds against what it had acknowledged. */
export async function acceptAndKill(directory: string, storage: KilledStorage): Promise<void> {
  const accepted = new Map<string, Line>();
  const settled = new Set<string>();
  const settling = new Set<string>();
  for (let round = 0; round < storage.rounds; round++) {
    const said = await acceptUntilKilled(
      directory,
      20 + round * 60,
      Math.random() * 40,
      ...storage.arguments,
    );
    for (const line of said)
      if (line.event === "accepted") accepted.set(line.id, line);
      else (line.event === "settled" ? settled : settling).add(line.id);
    const spool = storage.open();
    try {
      const unsettled = new Set<string>();
      for await (const { meta } of spool.unsettled()) unsettled.add(meta.id);
      for (const line of accepted.values()) {
        if (settled.has(line.id))
          assert.ok(!unsettled.has(line.id), `${line.id} was settled and is pending again`);
        if (!settling.has(line.id))
          assert.ok(unsettled.has(line.id), `${line.id} was accepted and is not pending`);
        if (!unsettled.has(line.id)) continue;
        const message = await spool.read(line.id, line.locator);
        assert.ok(message, `${line.id} was found`);
        const body = await bodyOf(message.body);
        assert.equal(body.length, line.size);
        assert.ok(body.equals(Buffer.alloc(line.size, line.id)), `${line.id} is whole`);
      }
    } finally {
      await spool.close();
    }
  }
  assert.ok(accepted.size >= storage.rounds * 10);
  assert.ok(settled.size > 0);
}
