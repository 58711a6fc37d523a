/**
 * Read descriptors of segments, shared by the reads of a few seconds and then closed: a removed segment must not be
 * read long after its settlements are forgotten, nor keep its space. Owns the descriptors, until close().
 */
import type { OnFault } from "../../fault.ts";
import { BackgroundCloser, isMissing, openFile, type SpoolFiles, spoolError } from "../disk/files.ts";
import { type Places, segmentPath } from "../disk/names.ts";

const mostOpen = 64;
/** Far below the time for which settlements outlive their segment (`forgetAfterMs`). */
const reopenAfterMs = 10_000;

class SharedDescriptor {
  readonly openedAtMs: number;
  /** Undefined when there is no such segment. */
  readonly opened: Promise<number | undefined>;
  fd: number | undefined;
  users = 0;
  /** No longer handed out: its last user closes it. */
  retired = false;

  constructor(openedAtMs: number, opened: Promise<number>) {
    this.openedAtMs = openedAtMs;
    this.opened = opened.then(
      (fd) => {
        this.fd = fd;
        return fd;
      },
      (error: unknown) => {
        if (isMissing(error)) return undefined;
        throw spoolError(error, "the segment could not be opened");
      },
    );
  }
}

export class SegmentDescriptors {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #closer: BackgroundCloser;
  /** By segment, in order of opening. */
  readonly #shared = new Map<string, SharedDescriptor>();

  constructor(files: SpoolFiles, places: Places, onFault: OnFault) {
    this.#files = files;
    this.#places = places;
    this.#closer = new BackgroundCloser(files, onFault);
  }

  /**
   * Calls `read` with a descriptor that stays open until its promise is settled.
   * @returns undefined when there is no such segment
   * @throws SpoolUnavailable
   */
  async use<T>(segment: string, read: (fd: number) => Promise<T>): Promise<T | undefined> {
    const shared = this.#sharedFor(segment);
    shared.users++;
    try {
      const fd = await shared.opened;
      if (fd !== undefined) return await read(fd);
      this.#retire(segment, shared);
      return undefined;
    } catch (error) {
      if (shared.fd === undefined) this.#retire(segment, shared);
      throw error;
    } finally {
      shared.users--;
      this.#closeIfUnused(segment, shared);
    }
  }

  /** The next use opens the segment anew. */
  renew(segment: string): void {
    const shared = this.#shared.get(segment);
    if (shared !== undefined) this.#retire(segment, shared);
  }

  /** Closes what has been open for long; to be called every second or so. */
  closeOld(): void {
    for (const [segment, shared] of this.#shared) if (isOld(shared)) this.#retire(segment, shared);
  }

  async close(): Promise<void> {
    for (const [segment, shared] of this.#shared) this.#retire(segment, shared);
    await this.#closer.idle();
  }

  #sharedFor(segment: string): SharedDescriptor {
    const known = this.#shared.get(segment);
    if (known !== undefined && !isOld(known)) return known;
    if (known !== undefined) this.#retire(segment, known);
    const opening = openFile(this.#files, segmentPath(this.#places, segment), "r");
    const shared = new SharedDescriptor(performance.now(), opening);
    this.#shared.set(segment, shared);
    const [oldest] = this.#shared;
    if (this.#shared.size > mostOpen && oldest !== undefined) this.#retire(...oldest);
    return shared;
  }

  #retire(segment: string, shared: SharedDescriptor): void {
    if (this.#shared.get(segment) === shared) this.#shared.delete(segment);
    shared.retired = true;
    this.#closeIfUnused(segment, shared);
  }

  #closeIfUnused(segment: string, shared: SharedDescriptor): void {
    const { fd } = shared;
    if (!shared.retired || shared.users > 0 || fd === undefined) return;
    shared.fd = undefined;
    this.#closer.close(fd, `segment ${segment}`);
  }
}

function isOld({ openedAtMs }: SharedDescriptor): boolean {
  return performance.now() - openedAtMs > reopenAfterMs;
}
