/**
 * The rolling restart of workers: at SIGUSR2, and after a reload for what a worker follows only when it is started. One at a
 * time; a request that comes meanwhile is another one after it.
 */
import { setTimeout as wait } from "node:timers/promises";
import { describeConfigErrors, type LoadedConfig } from "../../../shared/config/load.ts";
import type { ListeningSockets, PreparedSockets } from "../../../shared/runtime/listening-sockets.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { WorkerGroup } from "./worker-group.ts";

/** Within this time all workers take the same reload: each looks for it once a second. */
const reloadMs = 2_000;

export interface ReplacementOptions {
  name: string;
  log: Logger;
  group: Pick<WorkerGroup, "replaceAll" | "up">;
  /** Absent: the service listens on nothing. */
  sockets: ListeningSockets | undefined;
  load(): LoadedConfig;
}

export class Replacement {
  readonly #options: ReplacementOptions;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #fault: string | undefined;

  constructor(options: ReplacementOptions) {
    this.#options = options;
  }

  /** One line each, for the health of the service. */
  warnings(): string[] {
    return this.#fault === undefined ? [] : [this.#fault];
  }

  /** Never rejects. @param keys  of the configuration, which have changed */
  async request(cause: string, keys: string[] = []): Promise<void> {
    // All workers ask after the same reload: the first has not been replaced when the last of them does.
    if (this.#isAsked) return;
    this.#isAsked = true;
    await this.#running;
    this.#running = this.#replace(cause, keys);
    await this.#running;
  }

  async #replace(cause: string, keys: string[]): Promise<void> {
    const { name, log, group } = this.#options;
    if (keys.length > 0) await wait(reloadMs);
    this.#isAsked = false;
    log.info(
      { cause, ...(keys.length > 0 && { keys }) },
      `${name}: restarting the workers, one after another`,
    );
    let prepared: PreparedSockets | undefined;
    try {
      await group.up;
      prepared = await this.#prepare();
      await group.replaceAll(prepared?.descriptors ?? []);
      prepared?.commit();
      this.#fault = undefined;
      log.info(`${name}: all workers were restarted`);
    } catch (error) {
      // Some workers may listen on the new ones.
      prepared?.keepAll();
      const reason = (error as Error).message;
      this.#fault = `the workers of ${name} could not be restarted: ${reason}`;
      log.error(`${this.#fault}; those that are left go on`);
    }
  }

  /** The sockets for the listeners of the configuration as it is now. @throws Error */
  async #prepare(): Promise<PreparedSockets | undefined> {
    const loaded = this.#options.load();
    if (loaded.kind === "invalid") throw new Error(describeConfigErrors(loaded).join("; "));
    return this.#options.sockets?.prepare(loaded.config.listeners);
  }
}
