/** The file in which a service says where its /health answers, for checks of containers that start no Node. */
import { rmSync, writeFileSync } from "node:fs";
import { CannotStart } from "./start-failure.ts";

/**
 * Replaces the file by one line: `127.0.0.1 9025`. An address that stands for all becomes loopback, so that the admin
 * answers without a token.
 * @throws CannotStart when the file cannot be written
 */
export function writeHealthFile(file: string, { address, port }: { address: string; port: number }): void {
  const host = wildcards[address] ?? address;
  orCannotWrite(file, () => writeFileSync(file, `${host} ${port}\n`, { mode: 0o644 }));
}

/** Removes what a process before has left: its port may be another service's now. @throws CannotStart */
export function removeHealthFile(file: string): void {
  orCannotWrite(file, () => rmSync(file, { force: true }));
}

const wildcards: Record<string, string> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

function orCannotWrite(file: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw new CannotStart(`the health file ${file} cannot be written: ${(error as Error).message}`);
  }
}
