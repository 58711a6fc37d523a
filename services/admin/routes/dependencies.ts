/** The dependencies of the admin's routes, and how their failures become problem responses. */
import type { Config } from "../../../shared/config/schema.ts";
import type { EventReader } from "../../../shared/events/stream/event-reader.ts";
import type { Producer } from "../../../shared/queue/contract/queue.ts";
import { HoldsFileFailed } from "../../../shared/queue/holds/file.ts";
import { type HoldRule, holdRuleId } from "../../../shared/queue/holds/rules.ts";
import type { Holds } from "../../../shared/queue/holds/store.ts";
import {
  BadCursor,
  HoldStands,
  IndexNotReady,
  type Inspector,
  TooManyToSort,
} from "../../../shared/queue/operator/inspector.ts";
import type { Health } from "../../../shared/runtime/health-server.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import type { RecentTraffic } from "../../../shared/runtime/traffic.ts";
import type { KnownShards } from "../../../shared/shards/known-shards.ts";
import {
  type Spool,
  SpoolCorrupt,
  SpoolFull,
  type SpoolStatus,
  SpoolUnavailable,
} from "../../../shared/spool/spool.ts";
import { Problem } from "./problem.ts";
import type { ServiceRow } from "./schemas.ts";

export interface AdminDependencies {
  config: Config;
  log: Logger;
  spool: Spool;
  /** Where all is that there is once for the whole gateway. */
  redis: RedisConnection;
  /** The section `memory` of INFO, as of now. @throws Error of Redis */
  memoryInfo(): Promise<string>;
  /** The last hour. @throws Error of Redis */
  traffic(): Promise<RecentTraffic>;
  /** Where the queues are. */
  shards: KnownShards;
  inspector: Inspector;
  holds: Holds;
  producer: Pick<Producer, "addBounce" | "addDeliveries">;
  /** What happened to mail, as long as `events.keep` and `events.max` say. */
  events: EventReader;
  /** The services that are announced in Redis. */
  services(): Promise<ServiceRow[]>;
  /** The last sample. @throws Error when the spool cannot be used */
  spoolStatus(): Promise<SpoolStatus>;
  /** Age of the oldest message to deliver, as of the last scan, in milliseconds; `undefined` when there is none. */
  oldestMs(): number | undefined;
  health(): Promise<Health>;
  /** Epoch milliseconds. */
  now(): number;
}

/**
 * Awaits an answer of the queues or the spool.
 * @throws Problem 503 when Redis or the storage fails, 400 for a cursor that no list has returned
 */
export async function ask<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw asProblem(error);
  }
}

/** What stands, and how to change it. */
export function describeStanding(rule: HoldRule): string {
  const by = rule.by === undefined ? "" : ` by ${rule.by}`;
  const reason = rule.reason === "" ? "" : ` (${rule.reason})`;
  const end = rule.untilMs === undefined ? "" : ` until ${new Date(rule.untilMs).toISOString()}`;
  const since = new Date(rule.createdAtMs).toISOString();
  return `The hold ${holdRuleId(rule)} stands since ${since}${by}${reason}${end}; replace it to change it.`;
}

function asProblem(error: unknown): unknown {
  if (error instanceof Problem || !(error instanceof Error)) return error;
  if (error instanceof BadCursor) {
    return new Problem(400, "query.cursor is not a cursor of this list", {
      violations: [{ field: "query.cursor", detail: error.message }],
    });
  }
  if (error instanceof TooManyToSort) {
    return new Problem(503, `There are too many messages to sort in time: ${error.message}.`);
  }
  if (error instanceof HoldStands) return new Problem(409, describeStanding(error.rule));
  if (error instanceof IndexNotReady) return new Problem(503, `Not yet: ${error.message}.`);
  if (error instanceof SpoolUnavailable || error instanceof SpoolFull) {
    return new Problem(503, `The spool failed: ${error.message}`);
  }
  if (error instanceof HoldsFileFailed) {
    return new Problem(503, `The copy of the holds could not be written: ${error.message}`);
  }
  if (error instanceof SpoolCorrupt) return new Problem(500, `The record is damaged: ${error.message}`);
  // These are bugs; every other error comes from Redis or its connection.
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError)
    return error;
  return new Problem(503, `Redis is out of reach: ${error.message}`);
}
