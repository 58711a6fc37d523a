/** Writes the history of a run to a file of JSON lines, and keeps it for the model. Its caller closes it. */
import { createWriteStream, readFileSync } from "node:fs";
import type { HistoryEvent } from "./events.ts";

type Untimed<E> = E extends { at: number } ? Omit<E, "at"> : never;

export interface Recorder {
  /** Milliseconds since the start. */
  now(): number;
  record(event: Untimed<HistoryEvent>): void;
  events(): readonly HistoryEvent[];
  close(): Promise<void>;
}

export function createRecorder(file: string): Recorder {
  const startedAt = performance.now();
  const stream = createWriteStream(file);
  const events: HistoryEvent[] = [];
  const now = (): number => Math.round((performance.now() - startedAt) * 1000) / 1000;
  return {
    now,
    record(event) {
      const timed = { at: now(), ...event } as HistoryEvent;
      events.push(timed);
      stream.write(`${JSON.stringify(timed)}\n`);
    },
    events: () => events,
    close: () => new Promise((resolve) => stream.end(() => resolve())),
  };
}

/** A history that was recorded before. */
export function readHistory(file: string): HistoryEvent[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as HistoryEvent);
}
