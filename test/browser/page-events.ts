/** Events as ingress, delivery and bounce write them, for the dashboard's tracking. The test closes it. */
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createLogger, logEvent, withEventSink } from "../../shared/runtime/log.ts";
import type { TestAdmin } from "../support/admin.ts";

export type Event = Parameters<typeof logEvent>[1];

export interface EventWriter {
  write(...events: Event[]): void;
  close(): Promise<void>;
}

export function writeEvents(admin: TestAdmin): EventWriter {
  const quiet = createLogger("test", { write() {} });
  const publisher = createEventPublisher({
    redis: { url: admin.redis.url },
    log: quiet,
    events: { keep: 3_600_000, max: 10_000 },
    intervalMs: 5,
  });
  const log = withEventSink(quiet, publisher);
  return {
    write(...events) {
      for (const event of events) logEvent(log, event);
    },
    close: () => publisher.close(),
  };
}
