/** The jobs that a worker holds at this moment, and how it keeps hold of them when Redis was away or was emptied. Owns one timer. */
import type { Logger } from "../../runtime/log.ts";
import type { RedisConnection } from "../../runtime/redis.ts";
import type { QueueName } from "../contract/contract.ts";
import { otherQueue } from "../contract/contract.ts";
import { jobName, jobOptions } from "../contract/delivery-job.ts";
import { readEpoch } from "./epoch.ts";
import { epochKey, queueBase } from "./keys.ts";
import { reclaimJobs } from "./scripts.ts";

interface Held {
  token: string;
  data: unknown;
  lost: boolean;
}

export class ActiveJobs {
  readonly #jobs = new Map<string, Held>();
  readonly #queue: QueueName;
  readonly #redis: RedisConnection;
  readonly #lockMs: number;
  readonly #log: Logger;
  /** Under which all jobs in hand were taken; another one in Redis says that it was emptied since. */
  #epoch: string | undefined;

  constructor(queue: QueueName, redis: RedisConnection, lockMs: number, log: Logger) {
    this.#queue = queue;
    this.#redis = redis;
    this.#lockMs = lockMs;
    this.#log = log;
  }

  get size(): number {
    return this.#jobs.size;
  }

  add(jobId: string, token: string, data: unknown): void {
    this.#jobs.set(jobId, { token, data, lost: false });
  }

  delete(jobId: string): void {
    this.#jobs.delete(jobId);
  }

  /** Someone else has the job, or it ended elsewhere: nothing may be said about it any more. */
  isLost(jobId: string): boolean {
    return this.#jobs.get(jobId)?.lost ?? true;
  }

  /**
   * Takes locks again that have run out, and puts jobs back that an emptied Redis forgot.
   * @returns the jobs that are lost
   */
  async reclaim(jobIds: Iterable<string>): Promise<string[]> {
    const args: string[] = [];
    for (const jobId of jobIds) {
      const held = this.#jobs.get(jobId);
      if (held && !held.lost) args.push(jobId, held.token, JSON.stringify(held.data ?? null));
    }
    if (args.length === 0) return [];
    const keys = [queueBase(this.#queue), queueBase(otherQueue(this.#queue)), epochKey];
    const head = [this.#lockMs, this.#epoch ?? "", Date.now(), jobName, jobOptions];
    try {
      const lost = (await reclaimJobs.run(this.#redis, keys, [...head, ...args])) as string[];
      for (const jobId of lost) {
        const held = this.#jobs.get(jobId);
        if (held) held.lost = true;
      }
      return lost;
    } catch (error) {
      this.#log.debug({ err: error, queue: this.#queue }, "could not take locks again");
      return [];
    }
  }

  /** Runs a script that needs the job's lock; once more when the lock was gone and could be taken again. */
  async retryWithLock(jobId: string, script: () => Promise<number>): Promise<number> {
    const code = await script();
    if (code >= 0) return code;
    const lost = await this.reclaim([jobId]);
    return lost.length > 0 ? code : script();
  }

  /**
   * Looks regularly whether Redis was emptied, and then puts back what is in hand, before the keeper finds it missing.
   * @param whenLost  called with jobs that could not be put back
   * @returns what stops it
   */
  watchEpoch(everyMs: number, whenLost: (jobIds: string[]) => void): () => void {
    let stopped = false;
    let timer: NodeJS.Timeout | undefined;
    const check = async (): Promise<void> => {
      try {
        const epoch = await readEpoch(this.#redis);
        if (this.#epoch !== undefined && epoch !== this.#epoch) {
          whenLost(await this.reclaim([...this.#jobs.keys()]));
        }
        this.#epoch = epoch;
      } catch (error) {
        if (!stopped) this.#log.debug({ err: error, queue: this.#queue }, "could not read the epoch");
      }
      if (!stopped) timer = setTimeout(check, everyMs);
    };
    void check();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }
}
