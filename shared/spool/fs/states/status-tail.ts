/**
 * Follows what all other processes settle, and puts it into the index: their status logs, and the records that settle
 * messages. Owns the descriptors of the logs that still grow and a timer, until close().
 */

import type { OnFault } from "../../fault.ts";
import type { FileFaults } from "../../file-faults.ts";
import type { CompleteLog } from "../../log-compaction.ts";
import { parseNumberedName } from "../../records/names.ts";
import { coalesced } from "../../sequence.ts";
import type { StateIndex } from "../../state-index.ts";
import { BackgroundCloser, listDirectory, type SpoolFiles, statFile } from "../disk/files.ts";
import { logPath, numberedNames, type Places } from "../disk/names.ts";
import type { WriterHeartbeat } from "../writers/heartbeat.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";
import { FollowedLog } from "./followed-log.ts";
import { ImpliedSettlements } from "./implied-settlements.ts";

export interface StatusTailOptions {
  files: SpoolFiles;
  places: Places;
  heartbeat: WriterHeartbeat;
  registry: WriterRegistry;
  /** Takes what the logs and the finished segments say. */
  index: StateIndex;
  /** Takes what the records of living writers imply. */
  implied: StateIndex;
  /** How often other processes' settlements are read. */
  followMs: number;
  fileFaults: FileFaults;
  onFault: OnFault;
}

const readBytes = 1024 * 1024;

export class StatusTail {
  readonly #options: StatusTailOptions;
  readonly #impliedSettlements: ImpliedSettlements;
  readonly #closer: BackgroundCloser;
  readonly #window = Buffer.allocUnsafeSlow(readBytes);
  /** Logs of other processes. */
  readonly #followed = new Map<string, FollowedLog>();
  /** Logs that never grow again and are in the index completely. */
  readonly #complete = new Map<string, CompleteLog>();
  /** Logs that were missing from the last listing. */
  #missing: ReadonlySet<string> = new Set();
  #loading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #closed = false;

  /** Reads what other processes have settled up to the call. */
  readonly refresh: () => Promise<void> = coalesced(() => this.#refreshLogs());
  /** The same, with what records settle, and with a look at which writers are alive. */
  readonly refreshAll: () => Promise<void> = coalesced(() => this.#refreshAll());

  constructor(options: StatusTailOptions) {
    this.#options = options;
    this.#impliedSettlements = new ImpliedSettlements(options);
    this.#closer = new BackgroundCloser(options.files, options.onFault);
  }

  /**
   * refreshAll(), with another look at logs that could not be read: a scan makes a job of all mail that it takes for
   * unsettled, so that what it does not know is delivered twice.
   */
  refreshForScan(): Promise<void> {
    for (const log of this.#followed.values()) log.readAgain();
    return this.refreshAll();
  }

  /** Reads everything once; the index is complete afterwards. */
  load(): Promise<void> {
    this.#loading ??= this.refreshAll().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Begins to refresh now and then; a process that settles nothing and asks for no states need not. */
  follow(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const report = (error: unknown): void =>
      this.#options.onFault({ kind: "background", doing: "reading settlements", error });
    const refresh = (): void => void this.refreshAll().catch(report);
    this.#timer = setInterval(refresh, this.#options.followMs).unref();
  }

  /** Ends the refreshing that follow() began, for good. */
  stopFollowing(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  /** Logs that never grow again and are in the index completely. */
  completeLogs(): CompleteLog[] {
    return [...this.#complete.values()].filter(({ name }) => !this.#missing.has(name));
  }

  async close(): Promise<void> {
    this.stopFollowing();
    this.#closed = true;
    // Waits for runs that have begun; further ones do nothing.
    await this.refreshAll().catch(() => {});
    await this.refresh().catch(() => {});
    for (const log of this.#followed.values()) log.end();
    await this.#closer.idle();
  }

  async #refreshAll(): Promise<void> {
    const { files, places, registry } = this.#options;
    if (this.#closed) return;
    const segments = numberedNames(await listDirectory(files, places.segments), "-s.seg");
    const logs = numberedNames(await listDirectory(files, places.statusLogs), ".log");
    await registry.refresh();
    // Those that are finished now are read to their end by the refresh that follows.
    const finished = logs.filter((name) => registry.isFinishedName("log", name));
    await this.refresh();
    for (const name of finished) await this.#markComplete(name);
    await this.#impliedSettlements.refresh(segments);
  }

  async #markComplete(name: string): Promise<void> {
    if (this.#complete.has(name)) return;
    const followed = this.#followed.get(name);
    // Not all of it is in the index: it is read again, and must not be removed.
    if (followed?.isUnreadable === true) return;
    // A log of this process' own has been in the index since it was written.
    const bytes = followed === undefined ? await this.#sizeOf(name) : followed.bytes;
    this.#complete.set(name, { name, bytes });
    followed?.end();
  }

  async #refreshLogs(): Promise<void> {
    const { files, places, heartbeat } = this.#options;
    if (this.#closed) return;
    const names = numberedNames(await listDirectory(files, places.statusLogs), ".log");
    for (const name of names) {
      const writer = parseNumberedName(name)?.writer;
      if (writer === undefined || heartbeat.isOwn(writer)) continue;
      await this.#followedLog(name).readAppended(this.#window);
    }
    this.#dropGone(new Set(names));
  }

  #followedLog(name: string): FollowedLog {
    let log = this.#followed.get(name);
    if (log === undefined) {
      log = new FollowedLog(name, this.#options, this.#closer);
      this.#followed.set(name, log);
    }
    return log;
  }

  /**
   * A listing may miss a file that is made at the same time. Hence a log is dropped one refresh after it went missing:
   * entries that were copied to another log before it was removed have been read by then.
   */
  #dropGone(present: ReadonlySet<string>): void {
    const { index } = this.#options;
    const known = new Set([
      ...this.#followed.keys(),
      ...this.#complete.keys(),
      ...index.sources().filter(isLog),
    ]);
    const missing = new Set<string>();
    for (const name of known) {
      if (present.has(name)) continue;
      if (!this.#missing.has(name)) {
        missing.add(name);
        continue;
      }
      this.#followed.get(name)?.end();
      this.#followed.delete(name);
      this.#complete.delete(name);
      index.dropSource(name);
    }
    this.#missing = missing;
  }

  async #sizeOf(name: string): Promise<number> {
    const { files, places } = this.#options;
    return (await statFile(files, logPath(places, name)))?.size ?? 0;
  }
}

/** Other sources are segments that settle messages, and entries that could not be written yet. */
function isLog(source: string): boolean {
  return parseNumberedName(source)?.settling === false;
}
