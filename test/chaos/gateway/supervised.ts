/** One program that is started again whenever it ends, until stop(). Owns the process, which it signals by its id alone. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface ProgramOptions {
  name: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** Each line of standard output and standard error. */
  onLine(line: string): void;
  /** Waits before each start but the first. */
  restartMs(): number;
  beforeStart?(): void;
}

export class SupervisedProgram {
  readonly name: string;
  readonly #options: ProgramOptions;
  #child: ChildProcess | undefined;
  #stopping = false;
  #isFrozen = false;
  #timer: NodeJS.Timeout | undefined;
  #startedAt = 0;
  /** Runs once, between the end of this process and the start of the next one, when its files belong to nobody. */
  beforeNextStart: (() => void) | undefined;
  /** How often it ended without being asked to. */
  ends = 0;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#options = options;
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  #start(): void {
    const { command, args, env, onLine } = this.#options;
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#child = child;
    this.#isFrozen = false;
    this.#startedAt = performance.now();
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", onLine);
    child.on("error", (error) => onLine(error.message));
    child.once("exit", (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      if (this.#stopping) return;
      this.ends++;
      if (signal !== "SIGKILL") onLine(`${this.name} ended with ${code ?? signal}`);
      this.#timer = setTimeout(() => this.#again(), this.#options.restartMs());
    });
  }

  #again(): void {
    this.#options.beforeStart?.();
    this.beforeNextStart?.();
    this.beforeNextStart = undefined;
    this.#start();
  }

  /** Since the present process was started. */
  get ranForMs(): number {
    return this.#child === undefined ? 0 : performance.now() - this.#startedAt;
  }

  /** @returns whether there was a process to signal */
  signal(signal: NodeJS.Signals): boolean {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return false;
    if (signal === "SIGSTOP") this.#isFrozen = true;
    if (signal === "SIGCONT") this.#isFrozen = false;
    return child.kill(signal);
  }

  /** Ends it with SIGTERM, and with SIGKILL after `patienceMs`. @returns whether it ended by itself */
  async stop(patienceMs: number): Promise<boolean> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return true;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    let inTime = true;
    const timer = setTimeout(() => {
      inTime = false;
      child.kill("SIGKILL");
    }, patienceMs);
    await ended;
    clearTimeout(timer);
    return inTime;
  }
}
