/** A producer that is connected to Redis. The test closes it. */
import { createProducer, type QueueProducer } from "../../shared/queue/producer.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { TestRedis } from "./redis.ts";
import { waitFor } from "./wait-for.ts";

export async function connectedProducer({ url }: TestRedis, log: Logger): Promise<QueueProducer> {
  const producer = createProducer({ url }, log);
  await waitFor("the producer is connected", () =>
    producer.requestScan().then(
      () => true,
      () => false,
    ),
  );
  return producer;
}
