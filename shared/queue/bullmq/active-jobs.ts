/** The active jobs of one worker, and how it keeps their locks, also when Redis was away, was emptied or came back older. Owns two timers. */
import type { Logger } from "../../runtime/log.ts";
import type { Shard } from "../../shards/shard.ts";
import { otherQueue, type QueueName } from "../contract/contract.ts";
import { epochKey, readEpoch } from "./epoch.ts";
import { jobName, jobOptions } from "./jobs.ts";
import { lockKey, queueBase } from "./keys.ts";
import { cutLocksScript, reclaimScript, renewLocksScript } from "./worker-scripts.ts";

/** A job since its latest start: Redis may hand out a job again that is active here. */
interface ActiveJob {
  token: string;
  payload: unknown;
  lost: boolean;
  /** Its end is on the way to Redis: what takes its lock again now would undo that. */
  ending: boolean;
}

export class ActiveJobs {
  readonly #jobs = new Map<string, ActiveJob>();
  readonly #queue: QueueName;
  readonly #shard: Shard;
  readonly #lockMs: number;
  readonly #log: Logger;
  /** The epoch under which all of these jobs were taken; another one in Redis means that it was emptied since. */
  #epoch: string | undefined;
  /** Of the Redis server from which they were taken; another one may have forgotten its last writes. */
  #serverRun: string | undefined;
  #whenIdle: (() => void) | undefined;

  constructor(queue: QueueName, shard: Shard, lockMs: number, log: Logger) {
    this.#queue = queue;
    this.#shard = shard;
    this.#lockMs = lockMs;
    this.#log = log;
  }

  get size(): number {
    return this.#jobs.size;
  }

  add(jobId: string, token: string, payload: unknown): void {
    this.#jobs.set(jobId, { token, payload, lost: false, ending: false });
  }

  has(jobId: string): boolean {
    return this.#jobs.has(jobId);
  }

  /** Does nothing when the job was started again with another token. */
  delete(jobId: string, token: string): void {
    if (this.#jobs.get(jobId)?.token !== token) return;
    this.#jobs.delete(jobId);
    if (this.#jobs.size === 0) this.#whenIdle?.();
  }

  /** Resolves when there are none. */
  idle(): Promise<void> {
    if (this.#jobs.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  /** Another start has the job, here or at another worker, or it ended elsewhere: this one must not change it any more. */
  isLost(jobId: string, token: string): boolean {
    const job = this.#jobs.get(jobId);
    return job === undefined || job.token !== token || job.lost;
  }

  /** Whether the lock of a job that Redis handed out is still there. */
  async hasLock(jobId: string, token: string): Promise<boolean> {
    return (await this.#shard.redis.get(lockKey(this.#shard, this.#queue, jobId))) === token;
  }

  /** As reclaim(), for all of them, when Redis is back. */
  async reclaimAll(): Promise<string[]> {
    return this.#logged(async () => {
      const serverRun = await this.#readServerRun();
      const lost = await this.#reclaim(this.#notEnding(this.#jobs.keys()), serverRun);
      this.#serverRun = serverRun;
      return lost;
    });
  }

  /**
   * Takes locks again that have run out, and restores jobs that Redis has forgotten: it was emptied, or another server
   * has taken over, or it has come back without its last writes.
   * @returns the ids of the jobs that are lost
   */
  async reclaim(jobIds: Iterable<string>): Promise<string[]> {
    return this.#logged(async () => {
      const serverRun = await this.#readServerRun();
      return this.#reclaim(this.#notEnding(jobIds), serverRun);
    });
  }

  #notEnding(jobIds: Iterable<string>): string[] {
    return [...jobIds].filter((jobId) => this.#jobs.get(jobId)?.ending === false);
  }

  /** @throws Error of Redis */
  async #reclaim(jobIds: Iterable<string>, serverRun: string | undefined): Promise<string[]> {
    const args: string[] = [];
    for (const jobId of jobIds) {
      const job = this.#jobs.get(jobId);
      if (job && !job.lost) args.push(jobId, job.token, JSON.stringify(job.payload ?? null));
    }
    if (args.length === 0) return [];
    const keys = [
      queueBase(this.#shard, this.#queue),
      queueBase(this.#shard, otherQueue(this.#queue)),
      epochKey(this.#shard),
    ];
    const isOtherServer = serverRun === this.#serverRun ? 0 : 1;
    const head = [this.#lockMs, this.#epoch ?? "", isOtherServer, Date.now(), jobName, jobOptions];
    const lost = (await reclaimScript.run(this.#shard.redis, keys, [...head, ...args])) as string[];
    for (const jobId of lost) {
      const job = this.#jobs.get(jobId);
      if (job) job.lost = true;
    }
    return lost;
  }

  async #logged(reclaim: () => Promise<string[]>): Promise<string[]> {
    try {
      return await reclaim();
    } catch (error) {
      this.#log.debug({ err: error, queue: this.#queue }, "could not take job locks again");
      return [];
    }
  }

  /** Runs a script that ends the job, with its lock; a second time when the lock was gone and could be taken again. */
  async endWithLock(jobId: string, script: () => Promise<number>): Promise<number> {
    const job = this.#jobs.get(jobId);
    if (job !== undefined) job.ending = true;
    const code = await script();
    if (code >= 0) return code;
    const lost = await this.#logged(async () => this.#reclaim([jobId], await this.#readServerRun()));
    return lost.length > 0 ? code : script();
  }

  /**
   * Renews the locks regularly. BullMQ itself would do it by the time of day, and stop for an hour when that is set
   * back by an hour.
   * @param whenLost  called with the ids of jobs that other workers have
   * @returns what stops it
   */
  renewLocks(whenLost: (jobIds: string[]) => void): () => void {
    const renew = async (): Promise<void> => {
      const args = [...this.#jobs].flatMap(([jobId, { token, lost, ending }]) =>
        lost || ending ? [] : [jobId, token],
      );
      if (args.length === 0) return;
      try {
        const keys = [queueBase(this.#shard, this.#queue)];
        const jobIds = (await renewLocksScript.run(this.#shard.redis, keys, [
          this.#lockMs,
          ...args,
        ])) as string[];
        if (jobIds.length > 0) whenLost(await this.reclaim(jobIds));
      } catch (error) {
        this.#log.debug({ err: error, queue: this.#queue }, "could not renew job locks");
      }
    };
    return repeat(renew, this.#lockMs / 4);
  }

  /**
   * Checks regularly whether Redis was emptied, and restores the active jobs then, before the reconciler finds them
   * missing.
   * @param whenLost  called with the ids of jobs that could not be restored
   * @returns what stops it
   */
  watchEpoch(everyMs: number, whenLost: (jobIds: string[]) => void): () => void {
    const check = async (): Promise<void> => {
      try {
        this.#serverRun ??= await this.#readServerRun();
        const epoch = await readEpoch(this.#shard);
        if (this.#epoch !== undefined && epoch !== this.#epoch) {
          whenLost(await this.reclaim([...this.#jobs.keys()]));
        }
        this.#epoch = epoch;
      } catch (error) {
        this.#log.debug({ err: error, queue: this.#queue }, "could not read the epoch");
      }
    };
    return repeat(check, everyMs);
  }

  /**
   * Looks regularly for locks from before Redis' clock was set back.
   * @returns what stops it
   */
  cutLocks(everyMs: number): () => void {
    const cut = async (): Promise<void> => {
      try {
        await cutLocksScript.run(
          this.#shard.redis,
          [queueBase(this.#shard, this.#queue)],
          [this.#lockMs, everyMs],
        );
      } catch (error) {
        this.#log.debug({ err: error, queue: this.#queue }, "could not look for locks of another time");
      }
    };
    return repeat(cut, everyMs);
  }

  /** A random value of each run of a Redis server; in a cluster that of any of its servers. */
  async #readServerRun(): Promise<string | undefined> {
    return /^run_id:(\w+)/m.exec(await this.#shard.redis.info("server"))?.[1];
  }
}

/** Runs it now, and again so long after each end. It must not throw. @returns what stops it */
function repeat(run: () => Promise<void>, afterMs: number): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const runAndWait = async (): Promise<void> => {
    await run();
    if (!stopped) timer = setTimeout(runAndWait, afterMs);
  };
  void runAndWait();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
