/** The last hour of a lively gateway in Redis: traffic of every ten seconds, and events of mail. */
import { createEventPublisher, type EventPublisher } from "../../shared/events/stream/event-publisher.ts";
import type { Logger } from "../../shared/runtime/log.ts";
import type { RedisConnection } from "../../shared/runtime/redis.ts";
import { TrafficPublisher } from "../../shared/runtime/traffic.ts";

const bucketMs = 10_000;
const buckets = 360;
const events = 10_000;
/** Of the last message. */
const attempts = 5;

/**
 * @param deferredId  the queue id of a message that has events of its own, the last ones
 * @returns what writes the events in the background; the caller closes it
 */
export async function addLivelyHour(
  redis: RedisConnection,
  url: string,
  log: Logger,
  deferredId: string,
): Promise<EventPublisher> {
  let passed = 0;
  const traffic = new TrafficPublisher({
    totals: (counter) =>
      counter === "connections_total"
        ? new Map(["relay", "to-protected", "client-server"].map((row) => [`in\t${row}\tqueue`, passed]))
        : new Map([["delivered", passed]]),
  });
  const nowMs = Date.now();
  for (let bucket = buckets; bucket > 0; bucket--) {
    passed += 100;
    await traffic.publish(redis, nowMs - bucket * bucketMs);
  }
  const publisher = createEventPublisher({
    redis: { url },
    log,
    events: { keep: 3_600_000, max: events + attempts },
    limit: { events: events + attempts, octets: 64 * 2 ** 20 },
  });
  for (let n = 0; n < events; n++) {
    const domain = `d${n % 500}.example`;
    publisher.add({
      event: "delivery.delivered",
      id: `1M8PQXWVF2${String(n).padStart(8, "0")}`,
      to: [`recipient${n}@${domain}`],
      remote: `mx0.${domain}[192.0.2.25]:25`,
      reply: "250 2.0.0 accepted",
      ms: 30,
    });
  }
  for (let attempt = 1; attempt <= attempts; attempt++) {
    publisher.add({
      event: "delivery.deferred",
      id: deferredId,
      to: ["recipient@d77.example"],
      attempt,
      reason: "mx0.d77.example said: 450 4.2.1 busy",
    });
  }
  return publisher;
}
