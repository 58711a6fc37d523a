/**
 * Buffered standard output for log lines: a system call for each line would cost more than making the line. Owns the
 * buffer, which is written out when the process exits; SIGKILL loses the last few milliseconds of it.
 */
import { writeSync } from "node:fs";

export interface LogOutput {
  /** @param line  with its line end */
  write(line: string): void;
  /** Writes the buffer out. */
  flushSync(): void;
}

/**
 * PIPE_BUF of Linux, pipe(7): writes of at most this many octets to a pipe are atomic, so that lines of several services
 * that share one pipe do not mix.
 */
const atomicOctets = 4096;
/** How long a line may stay in the buffer. */
const bufferMs = 5;
/** A buffer of so many octets is written at once. */
const maxOctets = 64 * 1024;
const bufferOctets = 2 * maxOctets;
/** Octets of a character in UTF-8, at most (RFC 3629 §3; two units of UTF-16 make 4). */
const characterOctets = 3;
/** The pause before the next try while the pipe is full. */
const fullPipePauseMs = 5;

/** @param fd  a file descriptor; standard output unless a test gives another */
export function createLogOutput(fd = 1): LogOutput {
  // Lines become octets one by one: joining them to one text first costs several times as much.
  const buffer = Buffer.allocUnsafeSlow(bufferOctets);
  let used = 0;
  /** Where each line ends. */
  const ends: number[] = [];

  const flushSync = (): void => {
    let start = 0;
    let end = 0;
    for (const next of ends) {
      if (end > start && next - start > atomicOctets) {
        writeAll(fd, buffer.subarray(start, end));
        start = end;
      }
      end = next;
    }
    if (end > start) writeAll(fd, buffer.subarray(start, end));
    used = 0;
    ends.length = 0;
  };

  process.on("exit", flushSync);
  return {
    write(line) {
      const most = line.length * characterOctets;
      if (used + most > bufferOctets) flushSync();
      if (most > bufferOctets) {
        writeAll(fd, Buffer.from(line));
        return;
      }
      if (used === 0) setTimeout(flushSync, bufferMs).unref();
      used += buffer.write(line, used);
      ends.push(used);
      if (used > maxOctets) flushSync();
    },
    flushSync,
  };
}

function writeAll(fd: number, octets: Buffer): void {
  let rest = octets;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // The reader is gone (EPIPE): the service goes on without a log.
      if (code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fullPipePauseMs);
    }
  }
}
