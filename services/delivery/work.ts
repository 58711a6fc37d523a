/** What works on one delivery job, and what is worked on. */
import type { Config } from "../../shared/config/schema.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { DeliveryQueueName } from "../../shared/queue/contract/contract.ts";
import type { DeliveryTask, Producer } from "../../shared/queue/contract/queue.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import type { Body, Spool } from "../../shared/spool/spool.ts";
import type { DeliveryMetrics } from "./delivery-metrics.ts";
import type { Router } from "./plan.ts";

export interface WorkerDependencies {
  config: Pick<Config, "queue" | "dsn" | "relay">;
  log: Logger;
  metrics: DeliveryMetrics;
  spool: Pick<Spool, "read" | "states" | "settle">;
  producer: Pick<Producer, "addBounce" | "addDead">;
  transport: Pick<SmtpClient, "attempt">;
  /** Jobs of each queue at once in this process; one destination has a part of them. Absent: it may have all. */
  shares?: Record<DeliveryQueueName, number>;
  router: Router;
  /** Epoch milliseconds. */
  now(): number;
  /** 0..1 */
  jitter(): number;
}

/** A job with its message. */
export interface Work {
  task: DeliveryTask;
  meta: MessageMeta;
  body: Body;
  /** Epoch milliseconds from which its schedule counts: its acceptance, put off by holds; or when it was put back. */
  sinceMs: number;
}
