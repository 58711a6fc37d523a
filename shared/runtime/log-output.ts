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
/** A buffer of so many characters is written at once. */
const maxCharacters = 64 * 1024;
/** The pause before the next try while the pipe is full. */
const fullPipePauseMs = 5;

/** @param fd  a file descriptor; standard output unless a test gives another */
export function createLogOutput(fd = 1): LogOutput {
  let buffer: string[] = [];
  let characters = 0;

  const flushSync = (): void => {
    const lines = buffer;
    buffer = [];
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
      if (buffer.push(line) === 1) setTimeout(flushSync, bufferMs).unref();
      else if (characters > maxCharacters) flushSync();
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
      // The reader is gone (EPIPE): the service goes on without a log.
      if (code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fullPipePauseMs);
    }
  }
}
