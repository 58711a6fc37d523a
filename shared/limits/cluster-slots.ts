/**
 * Connection slots over all processes, by leases in Redis. A lease belongs to a process and a destination; a message over
 * an open connection costs no question to Redis. While Redis is away each process keeps the limits for itself.
 */
import { randomUUID } from "node:crypto";
import { type Diagnosis, diagnosisSchema } from "../smtp/diagnosis.ts";
import type { ClusterDeadDestinations } from "./cluster-dead-destinations.ts";
import {
  deadBeforeVoidKey,
  deadDestinationKey,
  learntLimitKey,
  leasesKey,
  renewLeasesScript,
  shrinkScript,
  takeSlotScript,
} from "./cluster-scripts.ts";
import { processName } from "./connection-phases.ts";
import { type AnswerHistory, DestinationLease } from "./destination-lease.ts";
import type { SlotAnswer, SlotRequest } from "./limiter.ts";
import type { LocalLimiter } from "./local-limiter.ts";
import type { RedisWithDeadline } from "./redis-with-deadline.ts";

const leasesAtOnce = 200;

export interface ClusterSlotsDeps {
  redis: RedisWithDeadline;
  deadDestinations: ClusterDeadDestinations;
  /** Remembers dead destinations while Redis is away. Connections are counted in the leases, whoever gave them. */
  local: LocalLimiter;
  /** A process that died keeps its connections for so long. */
  leaseMs: number;
}

export class ClusterSlots {
  readonly #deps: ClusterSlotsDeps;
  /** The field of this process in the hashes of leases; operators see host and process id of it. */
  readonly process = processName(randomUUID());
  readonly #leases = new Map<string, DestinationLease>();

  constructor(deps: ClusterSlotsDeps) {
    this.#deps = deps;
  }

  take(request: SlotRequest): SlotAnswer | Promise<SlotAnswer> {
    const { redis } = this.#deps;
    if (redis.starting !== undefined) return redis.starting.then(() => this.take(request));
    const lease = this.#leaseOf(request.destination);
    if (!redis.isAvailable) return this.#takeLocally(request, lease);
    const isAnswering = request.reachabilityKey === undefined || lease.answers.isAnswering;
    if (lease.hasSpare && lease.hasRoom(this.#deps.local.shareOf(request)) && isAnswering) {
      return { kind: "slot", slot: lease.use() };
    }
    return this.#ask(request, lease);
  }

  /** @returns whether it is the number of connections that the server has refused another for */
  async reportFull(destination: string, connections: number): Promise<boolean> {
    const { redis, local } = this.#deps;
    // Each process learns for itself too: for the connections that it has on record, and for while Redis is away.
    const ours = local.reportFull(destination, connections, this.#leaseOf(destination).used);
    if (!redis.isAvailable) return ours;
    const keys = [leasesKey(destination), learntLimitKey(destination)];
    const answer = await redis.run(shrinkScript, keys, [connections], (hasShrunk) => hasShrunk === 1);
    return answer ?? ours;
  }

  exceedsShare(destination: string): boolean {
    return this.#leases.get(destination)?.exceedsShare === true;
  }

  answersOf(destination: string): AnswerHistory {
    return this.#leaseOf(destination).answers;
  }

  /** Renews the leases that are due, and forgets what is not needed any more. */
  sweep(): void {
    const nowMs = performance.now();
    const due: [string, DestinationLease][] = [];
    for (const [destination, lease] of this.#leases) {
      if (lease.isDue(nowMs, this.#deps.leaseMs)) due.push([destination, lease]);
      else if (lease.isUnused) this.#leases.delete(destination);
    }
    if (due.length > 0 && this.#deps.redis.isAvailable) void this.#renew(due, nowMs);
    for (const lease of this.#leases.values()) lease.beginInterval();
  }

  /** Gives back what it has leased. */
  async close(): Promise<void> {
    for (const lease of this.#leases.values()) lease.abandon();
    if (this.#deps.redis.isAvailable) await this.#renew([...this.#leases], performance.now());
  }

  async #ask(request: SlotRequest, lease: DestinationLease): Promise<SlotAnswer> {
    const { redis, deadDestinations, leaseMs } = this.#deps;
    const { destination, connections, share = connections, reachabilityKey, ignoreDeadCache } = request;
    const keys = [leasesKey(destination), learntLimitKey(destination)];
    if (reachabilityKey !== undefined) keys.push(deadDestinationKey(reachabilityKey), deadBeforeVoidKey);
    const ended = lease.ask();
    try {
      if (reachabilityKey !== undefined) await deadDestinations.untilMarked(reachabilityKey);
      const { busyMs } = lease.answers;
      const args = [
        this.process,
        connections,
        leaseMs,
        ignoreDeadCache === true ? 1 : 0,
        lease.answers.msSinceAnswer(performance.now()),
        busyMs,
        share,
      ];
      const answer = await redis.run(takeSlotScript, keys, args, readAnswer);
      if (answer === undefined) return this.#takeLocally(request, lease);
      if (answer.kind === "dead") return answer;
      lease.learn(connections, answer.fairShare);
      if (answer.kind === "full")
        return answer.busyMs === 0 ? { kind: "full" } : { kind: "full", busyMs: answer.busyMs };
      if (answer.isProbe && reachabilityKey !== undefined) deadDestinations.suspect(reachabilityKey);
      return { kind: "slot", slot: lease.grant(busyMs) };
    } finally {
      ended();
    }
  }

  /** What this process alone may have. */
  #takeLocally(request: SlotRequest, lease: DestinationLease): SlotAnswer {
    if (!lease.hasRoom(this.#deps.local.shareOf(request))) return { kind: "full" };
    const answer = this.#deps.local.takeSlot({ ...request, share: Number.POSITIVE_INFINITY });
    if (answer.kind !== "slot") return answer;
    answer.slot.release();
    return { kind: "slot", slot: lease.use() };
  }

  async #renew(leases: [string, DestinationLease][], nowMs: number): Promise<void> {
    const { redis, leaseMs } = this.#deps;
    for (let start = 0; start < leases.length; start += leasesAtOnce) {
      const some = leases.slice(start, start + leasesAtOnce);
      const keys = some.map(([destination]) => leasesKey(destination));
      const args = [this.process, leaseMs, ...some.flatMap(([, lease]) => lease.report(nowMs))];
      const processes = await redis.run(renewLeasesScript, keys, args, (answer) => answer as number[]);
      // They are reported again in time; until then Redis lets run out what it has.
      if (processes === undefined) return;
      for (const [i, [, lease]] of some.entries()) lease.shareWith(processes[i] ?? 1);
    }
  }

  #leaseOf(destination: string): DestinationLease {
    let lease = this.#leases.get(destination);
    if (lease === undefined) {
      lease = new DestinationLease(performance.now());
      this.#leases.set(destination, lease);
    }
    return lease;
  }
}

type ScriptAnswer =
  | { kind: "slot"; fairShare: number; isProbe: boolean }
  | { kind: "full"; fairShare: number; busyMs: number }
  | { kind: "dead"; diagnosis: Diagnosis };

function readAnswer(answer: unknown): ScriptAnswer {
  const [kind, second, third] = answer as [0 | 1, number, number] | [2, string, undefined];
  switch (kind) {
    case 0:
      return { kind: "full", fairShare: second, busyMs: third };
    case 1:
      return { kind: "slot", fairShare: second, isProbe: third === 1 };
    case 2:
      return { kind: "dead", diagnosis: diagnosisSchema.parse(JSON.parse(second)) as Diagnosis };
  }
}
