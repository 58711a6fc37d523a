/** Routes that say what happened: the timeline of a message or an address, and the latest events. */
import type { StreamEvent } from "../../../shared/events/event.ts";
import { findTrace, parseWanted } from "../../../shared/events/stream/find-trace.ts";
import { rowOf } from "../../../shared/queue/operator/rows.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { eventMatcher, eventsBody, eventsQuery, traceBody, traceQuery, viewOf } from "./event-schemas.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

/** Events that one command reads. */
const page = 1_000;
/** A search ends its page after so long; the next one goes on where it ended. */
const searchMs = 2_000;

export function eventRoutes(deps: AdminDependencies): Route[] {
  const { events, inspector, now } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/trace",
      operationId: "traceMessages",
      summary: "Everything that happened to a message, or to the mail of an address",
      access: "read",
      query: traceQuery,
      responses: { 200: { description: "The timeline.", schema: traceBody } },
      async handle({ query: { q, limit } }) {
        const timeline = await ask(findTrace(events, parseWanted(q), limit));
        if (timeline.events.length === 0)
          throw new Problem(404, `No event names ${q}; events are kept as events.keep and events.max say.`);
        const notifications = timeline.events.flatMap(({ dsnId }) =>
          typeof dsnId === "string" ? [dsnId] : [],
        );
        const ids = [...new Set([...timeline.messages, ...notifications])];
        const jobs = await ask(Promise.all(ids.map((id) => inspector.find(id))));
        return {
          messages: timeline.messages,
          more: timeline.more,
          events: timeline.events.map(viewOf),
          queued: jobs.flat().map(rowOf),
        };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/events",
      operationId: "listEvents",
      summary: "What happened lately, delivered and proxied mail included",
      access: "read",
      query: eventsQuery,
      responses: {
        200: {
          description: "A page. It may be short or empty and still have a next one.",
          schema: eventsBody,
        },
      },
      async handle({ query: { since, before, within, limit, ...filter } }) {
        const matches = eventMatcher(filter);
        const oldestMs = within === undefined ? 0 : now() - within;
        const ascending = since !== undefined;
        const found: StreamEvent[] = [];
        const untilMs = Date.now() + searchMs;
        let place = ascending ? since : before;
        for (;;) {
          const chunk = await ask(ascending ? events.after(place ?? "0", page) : events.before(place, page));
          for (const event of chunk) {
            place = event.eventId;
            if (event.at < oldestMs) {
              // Events come up to some seconds late: older ones may be among younger.
              if (!ascending && event.at < oldestMs - lateMs)
                return { events: found.map(viewOf), next: null };
              continue;
            }
            if (matches(event)) found.push(event);
            if (found.length >= limit) return { events: found.map(viewOf), next: place };
          }
          if (chunk.length < page) return { events: found.map(viewOf), next: null };
          if (Date.now() > untilMs) return { events: found.map(viewOf), next: place ?? null };
        }
      },
    }),
  ];
}

/** How much later than it happened an event may come into the stream while Redis is there. */
const lateMs = 60_000;
