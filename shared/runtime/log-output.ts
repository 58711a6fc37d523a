/**
 * Standard output for a log: lines that come close together go out together. A system call for each line would cost
 * more than making the line. Owns nothing but what it has not written yet, which a process that ends by itself still
 * writes; SIGKILL takes the last few milliseconds with it.
 */
import { writeSync } from "node:fs";

export interface LogOutput {
  /** @param line  with its line end */
  write(line: string): void;
  /** Writes what waits. */
  flushSync(): void;
}

/**
 * PIPE_BUF of Linux, pipe(7): writes up to this many octets to a pipe never mix with those of other processes, and
 * several services may share one.
 */
const atomicOctets = 4096;
/** How long a line may wait for others. */
const gatherMs = 5;
/** So many characters do not wait. */
const gatherAtMost = 64 * 1024;
/** While whoever reads the log is slow. */
const fullPipePauseMs = 5;

/** @param fd  1 but in tests */
export function createLogOutput(fd = 1): LogOutput {
  let waiting: string[] = [];
  let characters = 0;

  const flushSync = (): void => {
    const lines = waiting;
    waiting = [];
    characters = 0;
    let start = 0;
    let octets = 0;
    for (let end = 0; end < lines.length; end++) {
      const length = Buffer.byteLength(lines[end] ?? "");
      if (octets > 0 && octets + length > atomicOctets) {
        writeAll(fd, lines.slice(start, end).join(""));
        start = end;
        octets = 0;
      }
      octets += length;
    }
    if (octets > 0) writeAll(fd, lines.slice(start).join(""));
  };

  process.on("exit", flushSync);
  return {
    write(line) {
      characters += line.length;
      if (waiting.push(line) === 1) setTimeout(flushSync, gatherMs).unref();
      else if (characters > gatherAtMost) flushSync();
    },
    flushSync,
  };
}

function writeAll(fd: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // The reader has gone: mail goes on without a log.
      if (code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fullPipePauseMs);
    }
  }
}
