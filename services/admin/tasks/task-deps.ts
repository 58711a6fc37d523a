/** The dependencies of changes to mail. */
import type { Config } from "../../../shared/config/schema.ts";
import type { Producer } from "../../../shared/queue/contract/queue.ts";
import type { Holds } from "../../../shared/queue/holds/store.ts";
import type { Inspector } from "../../../shared/queue/operator/inspector.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import type { Spool } from "../../../shared/spool/spool.ts";

export interface TaskDeps {
  config: Config;
  log: Logger;
  spool: Spool;
  redis: RedisConnection;
  inspector: Inspector;
  holds: Pick<Holds, "add" | "find">;
  producer: Pick<Producer, "addBounce" | "addDeliveries">;
  /** Epoch milliseconds. */
  now(): number;
}
