/**
 * The configuration of a running process: reads it again when asked to, checks it as a whole, and lets the service take
 * it. What is not valid leaves the one before in force, and the log and the health say so.
 */
import { z } from "zod";
import { describeConfigErrors, type LoadedConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { takeOver } from "../config/take-over.ts";
import { followedByWorkers, type Service } from "../config/takes-effect.ts";
import type { Commit } from "./live.ts";
import { type Logger, logEvent, writeEvent } from "./log.ts";

export type ValidConfig = Extract<LoadedConfig, { kind: "ok" }>;

export type ReloadCause =
  | { kind: "signal" }
  /** A file that the configuration names has changed. The configuration itself is the one in force. */
  | { kind: "files" }
  /** Of `postern reload`: all processes check before any of them takes it. */
  | { kind: "request"; id: string; phase: "check" | "take" };

/** What became of the last reload, for the answer of `postern reload`. */
export const reloadOutcomeSchema = z.object({
  /** The request that asked for it; `null`: a signal or a changed file. */
  request: z.string().nullable(),
  phase: z.enum(["check", "take"]),
  /** `checked`: it can be taken. `failed`: it is valid, and what it needs cannot be had. */
  state: z.enum(["checked", "taken", "invalid", "failed"]),
  /** One line each: `postern.yaml:7: listeners[0].port: is missing`. */
  errors: z.array(z.string()),
  /** Keys that have changed with it. */
  changed: z.array(z.string()),
  /** Changed keys that this service follows when it is started again. */
  restart: z.array(z.string()),
  /** Changed keys for which the workers of this service are now restarted, one after another. Absent in the version before. */
  rolling: z.array(z.string()).default([]),
});
export type ReloadOutcome = z.infer<typeof reloadOutcomeSchema>;

export interface LiveConfigurationOptions {
  service: Service;
  loaded: ValidConfig;
  /** @param before  present: read the files that it names again, and leave its text as it is */
  load(before?: ValidConfig): LoadedConfig;
  /** Of the service. */
  prepare(config: Config): Promise<Commit>;
  /** Present: the process is one of several workers, which a supervisor restarts when they ask for it. */
  restartWorkers?(keys: string[]): void;
  log: Logger;
}

/** Lines of an outcome, which is announced every second. */
const maxErrors = 20;

interface Prepared {
  loaded: ValidConfig;
  /** Before its files were read; epoch milliseconds. */
  readAtMs: number;
  config: Config;
  commit: Commit;
  changed: string[];
  restart: string[];
  rolling: string[];
}

type Preparation = { kind: "ready"; prepared: Prepared } | { kind: "invalid" | "failed"; errors: string[] };

export class LiveConfiguration {
  readonly #options: LiveConfigurationOptions;
  #loaded: ValidConfig;
  /** The process may have read them as soon as it began. */
  #readAtMs: number = performance.timeOrigin;
  #config: Config;
  #outcome: ReloadOutcome | null = null;
  /** Checked by this request, and to be taken. */
  #checked: { request: string; prepared: Prepared } | undefined;
  #running: Promise<unknown> = Promise.resolve();
  /** Of the last reload by a signal or a request, and of the last one for changed files. */
  #faults: { whole: string[]; files: string[] } = { whole: [], files: [] };
  #restart: string[] = [];

  constructor(options: LiveConfigurationOptions) {
    this.#options = options;
    this.#loaded = options.loaded;
    this.#config = options.loaded.config;
  }

  /** Of the last reload; `null` before the first. */
  get outcome(): ReloadOutcome | null {
    return this.#outcome;
  }

  /** When the files were read that are in use, or earlier; epoch milliseconds. */
  get readAtMs(): number {
    return this.#readAtMs;
  }

  /** The files to watch. */
  get files(): readonly string[] {
    return this.#loaded.files;
  }

  /** One line each, for the service's health. */
  warnings(): string[] {
    const { service } = this.#options;
    const whole = summarize(this.#faults.whole, "the configuration has errors and is not in force");
    const files = summarize(this.#faults.files, "a changed file is not in force");
    const keys = this.#restart.join(", ");
    return [...whole, ...files, ...(keys === "" ? [] : [`start ${service} again for changes of ${keys}`])];
  }

  /** One after another. Never rejects. */
  reload(cause: ReloadCause): Promise<ReloadOutcome> {
    const run = this.#running.then(() => this.#reload(cause));
    this.#running = run.catch(() => {});
    return run;
  }

  async #reload(cause: ReloadCause): Promise<ReloadOutcome> {
    const request = cause.kind === "request" ? cause.id : null;
    const phase = cause.kind === "request" ? cause.phase : "take";
    const checked = this.#checked;
    this.#checked = undefined;
    const preparation: Preparation =
      checked !== undefined && checked.request === request && phase === "take"
        ? { kind: "ready", prepared: checked.prepared }
        : await this.#prepare(cause.kind === "files");
    const outcome = { request, phase, errors: [], changed: [], restart: [], rolling: [] };
    if (preparation.kind !== "ready") {
      this.#refuse(cause, preparation.errors);
      this.#outcome = { ...outcome, state: preparation.kind, errors: preparation.errors.slice(0, maxErrors) };
      return this.#outcome;
    }
    const { prepared } = preparation;
    const { changed, restart, rolling } = prepared;
    if (phase === "check" && request !== null) this.#checked = { request, prepared };
    else this.#take(cause, prepared);
    this.#outcome = { ...outcome, state: phase === "check" ? "checked" : "taken", changed, restart, rolling };
    return this.#outcome;
  }

  async #prepare(onlyFiles: boolean): Promise<Preparation> {
    const { service, load, prepare, restartWorkers } = this.#options;
    try {
      const readAtMs = Date.now();
      const loaded = load(onlyFiles ? this.#loaded : undefined);
      if (loaded.kind === "invalid") return { kind: "invalid", errors: describeConfigErrors(loaded) };
      const { config, changed, restart: keys } = takeOver(this.#config, loaded.config, service);
      // A worker that starts reads everything: also what all services have to change together.
      const isForWorkers = restartWorkers !== undefined && keys.every(followedByWorkers);
      const [rolling, restart] = isForWorkers ? [keys, []] : [[], keys];
      const commit = await prepare(config);
      return { kind: "ready", prepared: { loaded, readAtMs, config, changed, restart, rolling, commit } };
    } catch (error) {
      return { kind: "failed", errors: [(error as Error).message] };
    }
  }

  #take(cause: ReloadCause, { loaded, readAtMs, config, commit, changed, restart, rolling }: Prepared): void {
    const { log, restartWorkers } = this.#options;
    commit();
    this.#loaded = loaded;
    this.#readAtMs = readAtMs;
    this.#config = config;
    this.#restart = restart;
    const before = this.#faults.files;
    this.#faults = { whole: cause.kind === "files" ? this.#faults.whole : [], files: loaded.kept };
    for (const fault of loaded.kept.filter((line) => !before.includes(line)))
      writeEvent(log, "error", { event: "config.refused" }, undefined, fault);
    const workers = rolling.length === 0 ? {} : { rolling };
    logEvent(log, { event: "config.taken", cause: cause.kind, changed, restart, ...workers });
    if (rolling.length > 0) restartWorkers?.(rolling);
    if (restart.length > 0)
      log.warn(`in force when ${this.#options.service} is started again: ${restart.join(", ")}`);
  }

  #refuse(cause: ReloadCause, errors: string[]): void {
    const { log } = this.#options;
    const before = cause.kind === "files" ? this.#faults.files : [];
    if (cause.kind === "files") this.#faults.files = errors;
    else this.#faults.whole = errors;
    for (const error of errors.filter((line) => !before.includes(line)).slice(0, maxErrors))
      writeEvent(log, "error", { event: "config.refused" }, undefined, error);
    log.error("the configuration before stays in force");
  }
}

function summarize(faults: readonly string[], what: string): string[] {
  const [first] = faults;
  if (first === undefined) return [];
  return [`${what}: ${first}${faults.length === 1 ? "" : ` (and ${faults.length - 1} more)`}`];
}
