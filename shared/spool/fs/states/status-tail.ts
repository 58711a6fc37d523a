/**
 * Follows the settle logs of all other processes, and puts what they say into the index.
 * Owns read descriptors of the logs that still grow, until close().
 */
import { join } from "node:path";
import { coalesced } from "../disk/coalesce.ts";
import type { OnFault } from "../disk/fault.ts";
import { closeFile, isMissing, listDirectory, openFile, readFully, statFile } from "../disk/files.ts";
import { numberedNames, parseNumberedName, settlingSegments } from "../disk/names.ts";
import { SettlingSegments, type SettlingSegmentsOptions } from "./settling-segments.ts";
import { parseLog } from "./status-format.ts";

interface FollowedLog {
  fd: number | undefined;
  /** Octets that were read. */
  position: number;
  /** The beginning of a batch whose end was not there yet. */
  carry: Buffer;
  /** It never grows again, and all of it was read. */
  complete: boolean;
}

export interface SettleTailOptions extends SettlingSegmentsOptions {
  onFault: OnFault;
}

const readBytes = 1024 * 1024;
const empty = Buffer.alloc(0);

export class SettleTail {
  readonly #options: SettleTailOptions;
  readonly #logs = new Map<string, FollowedLog>();
  readonly #settling: SettlingSegments;
  /** Logs that were not in the last listing. */
  #missing = new Set<string>();
  readonly #window = Buffer.allocUnsafeSlow(readBytes);
  #loading: Promise<void> | undefined;
  #closings: Promise<void> = Promise.resolve();
  #closed = false;

  /** Reads what others have settled up to the call. */
  readonly refresh: () => Promise<void> = coalesced(() => this.#followLogs());
  /** The same, with what records settle by being there, and with a look at who is alive. */
  readonly refreshAll: () => Promise<void> = coalesced(() => this.#followAll());

  constructor(options: SettleTailOptions) {
    this.#options = options;
    this.#settling = new SettlingSegments(options);
  }

  /** The first reading of everything; whoever needs the index waits for it. */
  load(): Promise<void> {
    this.#loading ??= this.refreshAll().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Logs that never grow again and are in the index completely. */
  completeLogs(): { name: string; bytes: number }[] {
    const complete: { name: string; bytes: number }[] = [];
    for (const [name, log] of this.#logs)
      if (log.complete && !this.#missing.has(name)) complete.push({ name, bytes: log.position });
    return complete;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.refreshAll().catch(() => {});
    await this.refresh().catch(() => {});
    for (const log of this.#logs.values()) this.#endLog(log);
    await this.#closings;
  }

  async #followAll(): Promise<void> {
    const { files, places, registry } = this.#options;
    if (this.#closed) return;
    const segments = settlingSegments(await listDirectory(files, places.segments));
    const logs = numberedNames(await listDirectory(files, places.settled), ".log");
    await registry.refresh();
    const finished = new Set(logs.filter((name) => registry.isFinishedName("log", name)));
    await this.refresh();
    for (const name of finished) {
      const log = this.#logs.get(name);
      if (log === undefined) this.#logs.set(name, ownFinished(await this.#sizeOf(name)));
      else if (!log.complete) {
        log.complete = true;
        this.#endLog(log);
      }
    }
    await this.#settling.refresh(segments);
  }

  async #followLogs(): Promise<void> {
    const { files, places, own } = this.#options;
    if (this.#closed) return;
    const names = new Set(numberedNames(await listDirectory(files, places.settled), ".log"));
    for (const name of names) {
      const writer = parseNumberedName(name)?.writer;
      // What this process writes is in the index already.
      if (writer === undefined || own.isOwn(writer)) continue;
      await this.#follow(name);
    }
    this.#dropGone(names);
  }

  /**
   * A listing may miss a file that was made meanwhile. Hence a log is dropped one reading after it went missing:
   * what was copied from it into another log before it was removed has been read by then.
   */
  #dropGone(names: ReadonlySet<string>): void {
    const { index } = this.#options;
    const known = new Set([...this.#logs.keys(), ...index.sources().filter(isLog)]);
    const missing = new Set<string>();
    for (const name of known) {
      if (names.has(name)) continue;
      if (!this.#missing.has(name)) {
        missing.add(name);
        continue;
      }
      const fd = this.#logs.get(name)?.fd;
      if (fd !== undefined) this.#close(fd);
      this.#logs.delete(name);
      index.dropSource(name);
    }
    this.#missing = missing;
  }

  async #follow(name: string): Promise<void> {
    const { files, places } = this.#options;
    let log = this.#logs.get(name);
    if (log === undefined) {
      log = { fd: undefined, position: 0, carry: empty, complete: false };
      this.#logs.set(name, log);
    }
    if (log.complete) return;
    try {
      log.fd ??= await openFile(files, join(places.settled, `${name}.log`), "r");
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    for (;;) {
      const count = await readFully(files, log.fd, this.#window, readBytes, log.position);
      if (count > 0) this.#take(name, log, this.#window.subarray(0, count));
      if (count < readBytes) return;
    }
  }

  #take(name: string, log: FollowedLog, octets: Buffer): void {
    const bytes = log.carry.length === 0 ? octets : Buffer.concat([log.carry, octets]);
    const start = log.position - log.carry.length;
    const parsed = parseLog(bytes);
    for (const { id, statusEntry } of parsed.entries) this.#options.index.apply(id, statusEntry, name);
    for (const { offset, length } of parsed.damaged)
      this.#options.onFault({ kind: "damaged", place: `${name}.log`, offset: start + offset, length });
    log.carry = parsed.consumed === bytes.length ? empty : Buffer.from(bytes.subarray(parsed.consumed));
    log.position += octets.length;
  }

  async #sizeOf(name: string): Promise<number> {
    const { files, places } = this.#options;
    return (await statFile(files, join(places.settled, `${name}.log`)))?.size ?? 0;
  }

  #endLog(log: FollowedLog): void {
    if (log.fd !== undefined) this.#close(log.fd);
    log.fd = undefined;
    log.carry = empty;
  }

  #close(fd: number): void {
    const closing = closeFile(this.#options.files, fd).catch((error: unknown) => {
      this.#options.onFault({ kind: "background", doing: "closing a settle log", error });
    });
    this.#closings = this.#closings.then(() => closing);
  }
}

/** Other sources are segments (of the settling kind) and what could not be written yet. */
function isLog(source: string): boolean {
  return parseNumberedName(source)?.settling === false;
}

/** One of this process' own logs: everything in it went through the index when it was written. */
function ownFinished(bytes: number): FollowedLog {
  return { fd: undefined, position: bytes, carry: empty, complete: true };
}
