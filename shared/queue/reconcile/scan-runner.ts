/**
 * Runs the scans of the leading reconciler, one at a time. A scan that stops because Redis has no room for more goes on
 * from its place when deliveries have made some. It owns nothing.
 */
import type { Logger } from "../../runtime/log.ts";
import type { WalkPlace } from "../../spool/spool.ts";
import { countJobs } from "../bullmq/job-places.ts";
import { fewLeft, isWorthGoingOn, readMemories } from "./room.ts";
import { type Pass, type PassResult, type ScanDeps, type ScanReport, scanSpool, wholePass } from "./scan.ts";
import type { ScanReason } from "./why-scan.ts";

export interface ScanRunnerOptions {
  /** Asked for each pass. */
  deps(): ScanDeps;
  log: Logger;
  /** After each scan that has found room for everything, of all its passes. */
  onScan?: ((report: ScanReport & { reason: ScanReason; tookMs: number }) => void) | undefined;
}

/** `interrupted`: by mayGoOn() of the dependencies. */
export type ScanOutcome = "done" | "stopped" | "interrupted";

/** What is known of a scan: of one that stopped, and of those that followed it before all had room. */
interface Scan {
  reason: ScanReason;
  /** By the monotonic clock. */
  startedMs: number;
  /** Of all passes. */
  report: ScanReport;
  /** Messages that wait in the spool. */
  left: number;
}

const nothing: ScanReport = { messages: 0, deliveries: 0, bounces: 0, dead: 0, expired: 0 };

export class ScanRunner {
  readonly #options: ScanRunnerOptions;
  #stopped: Scan | undefined;
  /** Where the stopped scan goes on; `undefined`: it does not, and a new one has to be run. */
  #place: { after: WalkPlace | undefined } | undefined;

  constructor(options: ScanRunnerOptions) {
    this.#options = options;
  }

  /** How many messages wait in the spool until Redis has room for them, as far as that is known. */
  get left(): number {
    return this.#stopped?.left ?? 0;
  }

  /** Why the scan was run that stopped and can go on; `undefined` when there is none. */
  get stopped(): ScanReason | undefined {
    return this.#place === undefined ? undefined : this.#stopped?.reason;
  }

  /** Another reconciler leads, and scans by itself. */
  forget(): void {
    this.#stopped = undefined;
    this.#place = undefined;
  }

  /** Compares the queues with the whole spool. @throws Error of Redis or of the spool */
  scan(reason: ScanReason): Promise<ScanOutcome> {
    // Jobs may be missing again of messages that come before that place.
    this.#place = undefined;
    const startedMs = performance.now();
    return this.#run(this.#stopped ?? { reason, startedMs, report: nothing, left: 0 }, wholePass);
  }

  /** Goes on with the scan that stopped, if there is room. @throws Error of Redis or of the spool */
  async goOn(): Promise<ScanOutcome> {
    const scan = this.#stopped;
    const place = this.#place;
    if (scan === undefined || place === undefined) return "done";
    const { shards, config } = this.#options.deps();
    const [memories, counts] = await Promise.all([readMemories(shards), countJobs(shards)]);
    const queued = [counts.delivery, counts["delivery-slow"]].reduce(
      (sum, { waiting, active, deferred }) => sum + waiting + active + deferred,
      0,
    );
    const { redis_memory } = config.limits.pressure;
    if (!memories.every((memory) => isWorthGoingOn(memory, redis_memory, queued))) return "stopped";
    return this.#run(scan, { ...place, isWhole: false, few: fewLeft(queued) });
  }

  async #run(scan: Scan, pass: Pass): Promise<ScanOutcome> {
    const deps = this.#options.deps();
    const result = await scanSpool(deps, pass);
    if (result.isInterrupted || !deps.mayGoOn()) return "interrupted";
    const report = sumOf(scan.report, result.report, pass.isWhole);
    if (result.left > 0) this.#stop({ ...scan, report }, result, pass.isWhole);
    else this.#end({ ...scan, report });
    return result.left > 0 ? "stopped" : "done";
  }

  #stop(scan: Scan, { left, restored, handled }: PassResult, isWhole: boolean): void {
    const isFirst = this.#stopped === undefined;
    this.#stopped = { ...scan, left: isWhole ? left : Math.max(left, scan.left - restored) };
    this.#place = { after: handled };
    if (!isFirst) return;
    this.#options.log.warn(
      { reason: scan.reason, messages: left },
      "Redis has no room for all mail of the spool: what is left waits there until deliveries make room; raise maxmemory",
    );
  }

  #end({ reason, startedMs, report }: Scan): void {
    const { log, onScan } = this.#options;
    const tookMs = Math.round(performance.now() - startedMs);
    const { deliveries, bounces, dead, expired } = report;
    const found = deliveries + bounces + dead + expired > 0;
    log[found ? "info" : "debug"]({ reason, tookMs, ...report }, "compared the queues with the spool");
    if (this.#stopped !== undefined) log.info({ tookMs }, "Redis had room for all mail of the spool");
    this.forget();
    onScan?.({ ...report, reason, tookMs });
  }
}

/** @param isWhole  the second is of a pass that met all messages */
function sumOf(a: ScanReport, b: ScanReport, isWhole: boolean): ScanReport {
  return {
    messages: isWhole ? b.messages : a.messages,
    deliveries: a.deliveries + b.deliveries,
    bounces: a.bounces + b.bounces,
    dead: a.dead + b.dead,
    expired: a.expired + b.expired,
  };
}
