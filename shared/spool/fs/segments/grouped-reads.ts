/**
 * Reads of one turn of the event loop that lie next to each other in a file share one read: jobs that start together have
 * records that were stored together, and each read costs two changes of thread. Owns nothing.
 */
import { type SpoolFiles, spoolError } from "../disk/files.ts";

export interface FilePart {
  offset: number;
  length: number;
}

interface WaitingRead extends FilePart {
  resolve(octets: Buffer): void;
  reject(error: Error): void;
}

/** Octets between two parts that are read along. */
const maxGap = 4096;
/** Of a shared read: it stays in memory until the last of its messages is delivered. */
const maxGroup = 128 * 1024;

export class GroupedReads {
  readonly #files: Pick<SpoolFiles, "read">;
  /** By descriptor. */
  readonly #waiting = new Map<number, WaitingRead[]>();

  constructor(files: Pick<SpoolFiles, "read">) {
    this.#files = files;
  }

  /**
   * `length` octets, or as many as there are before the end of the file. The descriptor must stay open until then.
   * @throws SpoolUnavailable
   */
  read(fd: number, { offset, length }: FilePart): Promise<Buffer> {
    if (length === 0) return Promise.resolve(Buffer.alloc(0));
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) setImmediate(() => this.#readWaiting());
      const waiting = this.#waiting.get(fd);
      const read = { offset, length, resolve, reject };
      if (waiting === undefined) this.#waiting.set(fd, [read]);
      else waiting.push(read);
    });
  }

  #readWaiting(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [fd, reads] of waiting) for (const group of groupsOf(reads)) this.#readGroup(fd, group);
  }

  #readGroup(fd: number, { offset, length, reads }: ReadGroup<WaitingRead>): void {
    const octets = Buffer.allocUnsafe(length);
    const next = (have: number): void => {
      this.#files.read(fd, octets, have, length - have, offset + have, (error, count) => {
        if (error) this.#failGroup(fd, reads, error);
        else if (count === 0 || have + count === length) {
          const end = have + count;
          for (const read of reads) {
            const start = read.offset - offset;
            read.resolve(octets.subarray(Math.min(start, end), Math.min(start + read.length, end)));
          }
        } else {
          next(have + count);
        }
      });
    };
    next(0);
  }

  /** A bad sector concerns one of them: each is read by itself. */
  #failGroup(fd: number, reads: WaitingRead[], error: Error): void {
    const [first, ...others] = reads;
    if (others.length === 0) first?.reject(spoolError(error, "the message could not be read"));
    else for (const read of reads) this.#readGroup(fd, { ...read, reads: [read] });
  }
}

/** Parts of a file that are read at once. */
export interface ReadGroup<Read> extends FilePart {
  reads: Read[];
}

/** Parts that are near each other in one group each, in the order of the file. */
export function groupsOf<Read extends FilePart>(reads: Read[]): ReadGroup<Read>[] {
  const groups: ReadGroup<Read>[] = [];
  for (const read of reads.length === 1 ? reads : reads.toSorted((a, b) => a.offset - b.offset)) {
    const group = groups.at(-1);
    const end = read.offset + read.length;
    if (
      group !== undefined &&
      read.offset - (group.offset + group.length) <= maxGap &&
      end - group.offset <= maxGroup
    ) {
      group.length = Math.max(group.length, end - group.offset);
      group.reads.push(read);
    } else {
      groups.push({ offset: read.offset, length: read.length, reads: [read] });
    }
  }
  return groups;
}
