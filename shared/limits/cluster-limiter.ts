/**
 * Limits that hold for the whole cluster, by leases in Redis. A lease belongs to a connection, and rates are reserved
 * ahead, so that a message over an open connection costs no round trip. While Redis is away each process keeps the
 * limits for itself, and mail goes on. It owns a connection to Redis; close() gives back what it holds and ends it.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "../runtime/log.ts";
import { createRedis, type RedisConfig } from "../runtime/redis.ts";
import { type Diagnosis, diagnosisSchema } from "../smtp/diagnosis.ts";

import { ClusterRates } from "./cluster-rates.ts";
import { markDeadScript, renewLeasesScript, takeRetrySlotScript, takeSlotScript } from "./cluster-scripts.ts";
import type { DeadDestinationPolicy } from "./dead-destinations.ts";
import { deadDestinationKey, retrySlotKey, slotsKey, voidSilencesKey } from "./keys.ts";
import { type Limiter, type Slot, type SlotAnswer, type SlotRequest, shareOf } from "./limiter.ts";
import { createLocalLimiter } from "./local-limiter.ts";
import { RedisWithDeadline } from "./redis-with-deadline.ts";

export interface ClusterLimiterOptions {
  redis: RedisConfig;
  log: Logger;
  /** Absent: no silence is remembered. */
  deadDestinations?: DeadDestinationPolicy;
  /** A worker that died keeps its connections for so long. */
  leaseMs?: number;
}

export interface ClusterLimiter extends Limiter {
  close(): Promise<void>;
}

type TakeAnswer = [given: 0 | 1, fair: number, more: number] | [silent: 2, diagnosis: string];

const usualLeaseMs = 15_000;
/** How often workers see whether others want connections of theirs; and those that have all that there are. */
const lookMs = 1_000;
const lookWithAllMs = 200;
/** Share of the newest observation in the average time that a message takes. */
const newestShare = 0.2;
/** How often what is not needed any more is given back; until then the next connection may have it. */
const sweepMs = 100;
const keysAtOnce = 200;
const mostSuspects = 10_000;

/** What this process has of one destination. */
interface Account {
  used: number;
  /** As Redis knows it; more than `used` for a moment after a release. */
  granted: number;
  /** Questions under way. */
  asking: number;
  heardMs: number;
  unheardMs: number;
  /** When Redis was told last. */
  toldMs: number;
  /** The limit, and our fair part of it: more is for the others as soon as they want it. */
  connections: number;
  fair: number;
  /** Average time that a message takes, rounded up; 0: not known. */
  busyMs: number;
  /** As Redis knows it. */
  toldBusyMs: number;
}

export function createClusterLimiter(options: ClusterLimiterOptions): ClusterLimiter {
  const { log, leaseMs = usualLeaseMs } = options;
  const deadDestinations = options.deadDestinations ?? { firstMs: 0, maxMs: 0 };
  const worker = randomUUID();
  const redis = new RedisWithDeadline(createRedis(options.redis, "producer", log));
  /** Remembers silence and turns while Redis is away; connections are counted in the accounts, whoever gave them. */
  const local = createLocalLimiter({ deadDestinations });
  const rates = new ClusterRates(redis, local);
  const accounts = new Map<string, Account>();
  /** Paths that this process knows, or has been told, to be silent: their first answer is news. */
  const suspects = new Set<string>();
  /** Silences that Redis is being told of: who asks meanwhile waits until it knows. */
  const marking = new Map<string, Promise<void>>();
  let isClosed = false;

  const accountOf = (destination: string): Account => {
    let account = accounts.get(destination);
    if (account === undefined) {
      account = {
        used: 0,
        granted: 0,
        asking: 0,
        heardMs: 0,
        unheardMs: 0,
        toldMs: Date.now(),
        connections: Number.POSITIVE_INFINITY,
        fair: Number.POSITIVE_INFINITY,
        busyMs: 0,
        toldBusyMs: 0,
      };
      accounts.set(destination, account);
    }
    return account;
  };

  const slotOf = (account: Account): Slot => {
    let released = false;
    account.used++;
    return {
      release() {
        if (released) return;
        released = true;
        account.used--;
      },
    };
  };

  const suspect = (reachabilityKey: string): void => {
    // Whoever probes a path after its time is told that it is one.
    if (suspects.size >= mostSuspects) suspects.clear();
    suspects.add(reachabilityKey);
  };

  /** Without Redis: what this process alone may have. */
  const takeHere = (request: SlotRequest, account: Account): SlotAnswer => {
    if (account.used >= shareOf(request)) return { kind: "full" };
    const taken = local.takeSlot({ ...request, share: Number.POSITIVE_INFINITY });
    if (taken.kind !== "slot") return taken;
    taken.slot.release();
    return { kind: "slot", slot: slotOf(account) };
  };

  const ask = async (request: SlotRequest, account: Account): Promise<SlotAnswer> => {
    const { destination, connections, reachabilityKey, ignoreDeadCache } = request;
    const keys = [slotsKey(destination)];
    if (reachabilityKey !== undefined) keys.push(deadDestinationKey(reachabilityKey), voidSilencesKey);
    account.asking++;
    try {
      if (reachabilityKey !== undefined) await marking.get(reachabilityKey);
      const flag = ignoreDeadCache === true ? 1 : 0;
      const busyMs = Math.ceil(account.busyMs);
      const args = [worker, connections, leaseMs, flag, heardAgo(account), busyMs, shareOf(request)];
      const answer = (await redis.run(takeSlotScript, keys, args)) as TakeAnswer;
      if (answer[0] === 2) {
        return { kind: "dead", diagnosis: diagnosisSchema.parse(JSON.parse(answer[1])) as Diagnosis };
      }
      const [given, fair, more] = answer;
      account.connections = connections;
      account.fair = fair;
      if (given === 0) return more === 0 ? { kind: "full" } : { kind: "full", busyMs: more };
      account.granted++;
      account.toldBusyMs = busyMs;
      if (more === 1 && reachabilityKey !== undefined) suspect(reachabilityKey);
      return { kind: "slot", slot: slotOf(account) };
    } catch (error) {
      redis.failed(error);
      return takeHere(request, account);
    } finally {
      account.asking--;
    }
  };

  /** Tells Redis what is held of these, for another lease. */
  const hold = async (chosen: [string, Account][], nowMs: number): Promise<void> => {
    for (let start = 0; start < chosen.length; start += keysAtOnce) {
      const some = chosen.slice(start, start + keysAtOnce);
      const args: (string | number)[] = [worker, leaseMs];
      for (const [, account] of some) {
        account.toldBusyMs = Math.ceil(account.busyMs);
        args.push(account.asking > 0 ? -1 : account.used, heardAgo(account), account.toldBusyMs);
        account.toldMs = nowMs;
        if (account.asking === 0) account.granted = account.used;
      }
      try {
        const keys = some.map(([destination]) => slotsKey(destination));
        const counts = (await redis.run(renewLeasesScript, keys, args)) as number[];
        for (const [i, [, account]] of some.entries()) {
          account.fair = Math.ceil(account.connections / Math.max(1, counts[i] ?? 1));
        }
      } catch (error) {
        // Told again in time; what Redis has meanwhile runs out.
        redis.failed(error);
        return;
      }
    }
  };

  const sweep = (): void => {
    const nowMs = Date.now();
    rates.sweep();
    const due: [string, Account][] = [];
    for (const entry of accounts) {
      const [destination, account] = entry;
      const isBusyNews = account.used > 0 && account.toldBusyMs === 0 && account.busyMs > 0;
      const isNews = (account.granted !== account.used && account.asking === 0) || isBusyNews;
      const everyMs = Math.min(leaseMs / 3, lookEveryMs(account) ?? leaseMs);
      const isDue = nowMs - account.toldMs >= everyMs && (account.used > 0 || account.granted > 0);
      if (isNews || isDue) due.push(entry);
      else if (account.used + account.granted + account.asking === 0) accounts.delete(destination);
    }
    if (due.length > 0 && redis.isThere) void hold(due, nowMs);
  };
  const timer = setInterval(sweep, sweepMs).unref();

  return {
    takeSlot(request) {
      if (redis.starting !== undefined) return redis.starting.then(() => this.takeSlot(request));
      const account = accountOf(request.destination);
      if (!redis.isThere) return takeHere(request, account);
      const mayReuse =
        // What is more than a fair part goes back, that others may have it.
        account.used < account.fair &&
        (request.reachabilityKey === undefined || account.heardMs > account.unheardMs);
      if (account.granted > account.used && account.used < shareOf(request) && mayReuse) {
        return { kind: "slot", slot: slotOf(account) };
      }
      return ask(request, account);
    },

    admitMessage: (destination, rate) => rates.admitMessage(destination, rate),
    refundMessage: (destination, rate) => rates.refundMessage(destination, rate),

    async takeRetrySlot(line, request) {
      await redis.starting;
      if (!redis.isThere) return local.takeRetrySlot(line, request);
      try {
        const { eachMs, earliestMs, horizonMs } = request;
        const args = [eachMs, earliestMs, horizonMs, Math.random()];
        return Date.now() + Number(await redis.run(takeRetrySlotScript, [retrySlotKey(line)], args));
      } catch (error) {
        redis.failed(error);
        return local.takeRetrySlot(line, request);
      }
    },

    exceedsShare(destination) {
      const account = accounts.get(destination);
      return account !== undefined && account.used > account.fair;
    },

    reportAnswer(destination, reachabilityKey, tookMs) {
      const account = accountOf(destination);
      account.heardMs = Date.now();
      account.busyMs =
        account.busyMs === 0 ? tookMs : account.busyMs + newestShare * (tookMs - account.busyMs);
      if (!suspects.delete(reachabilityKey)) return;
      local.reportAnswer(destination, reachabilityKey, tookMs);
      redis.connection.del(deadDestinationKey(reachabilityKey)).catch(redis.failed);
    },

    reportNoAnswer(destination, reachabilityKey, diagnosis, startedMs) {
      const account = accountOf(destination);
      account.unheardMs = Date.now();
      if (deadDestinations.firstMs === 0 || account.heardMs >= startedMs) return;
      suspect(reachabilityKey);
      local.reportNoAnswer(destination, reachabilityKey, diagnosis, startedMs);
      const keys = [deadDestinationKey(reachabilityKey), slotsKey(destination), voidSilencesKey];
      const args = [
        Date.now() - startedMs,
        deadDestinations.firstMs,
        deadDestinations.maxMs,
        JSON.stringify(diagnosis),
      ];
      if (!redis.isThere) return;
      const marked = redis
        .run(markDeadScript, keys, args)
        .then(() => undefined, redis.failed)
        .finally(() => marking.delete(reachabilityKey));
      marking.set(reachabilityKey, marked);
    },

    async close() {
      if (isClosed) return;
      isClosed = true;
      clearInterval(timer);
      for (const account of accounts.values()) account.used = 0;
      if (redis.isThere) await Promise.all([hold([...accounts], Date.now()), rates.close()]);
      redis.connection.disconnect();
    },
  };
}

/** Undefined: there is nothing that others could want of it. */
function lookEveryMs({ used, connections }: Account): number | undefined {
  if (used <= 1) return undefined;
  return used >= connections ? lookWithAllMs : lookMs;
}

function heardAgo(account: Account): number {
  return account.heardMs === 0 ? -1 : Math.max(0, Date.now() - account.heardMs);
}
