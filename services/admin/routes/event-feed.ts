/**
 * The live feed of events: server-sent events (WHATWG HTML §9.2), each with its place in the stream as id, so that a browser
 * that reconnects misses nothing. Owns the connections of its clients; close() ends them.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { FastifyReply } from "fastify";
import { isEventId } from "../../../shared/events/stream/event-reader.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { type EventFilter, eventMatcher, streamQuery, viewOf } from "./event-schemas.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

export interface EventFeed {
  route: Route;
  /** Ends all clients, and takes no more. */
  close(): void;
}

/** Each reads from Redis twice a second, at its own pace. */
const maxClients = 50;
const pollMs = 500;
/** While Redis does not answer. */
const pauseMs = 2_000;
const page = 500;

export function createEventFeed({ events, log }: AdminDependencies): EventFeed {
  const clients = new Set<FastifyReply>();
  const end = new AbortController();

  /** Until the client leaves or the feed is closed. Nothing is kept for a slow client: it reads on when it can. */
  async function feed(reply: FastifyReply, start: string, filter: EventFilter): Promise<void> {
    const matches = eventMatcher(filter);
    const { sse } = reply;
    let place = start;
    // A comment: the client knows at once that it is connected.
    await sse.send({ event: "ready", data: { eventId: place } });
    while (sse.isConnected && !end.signal.aborted) {
      let pause = pollMs;
      try {
        const latest = await events.after(place, page);
        for (const event of latest) {
          place = event.eventId;
          if (matches(event)) await sse.send({ id: place, data: viewOf(event) });
        }
        if (latest.length === page) continue;
      } catch (error) {
        if (!sse.isConnected) return;
        log.debug({ err: error }, "could not read events");
        pause = pauseMs;
      }
      await wait(pause, undefined, { signal: end.signal }).catch(() => {});
    }
    sse.close();
  }

  return {
    route: defineRoute({
      method: "GET",
      path: "/api/v1/events/stream",
      operationId: "streamEvents",
      summary: "Events as they happen, as server-sent events: `data` is one of GET /api/v1/events",
      access: "read",
      isStream: true,
      query: streamQuery,
      responses: { 200: { description: "The feed; it does not end.", type: "text/event-stream" } },
      async handle({ query: { since, ...filter }, request, reply }) {
        if (end.signal.aborted) throw new Problem(503, "The admin is stopping.");
        if (clients.size >= maxClients)
          throw new Problem(503, `The feed has its ${maxClients} clients; close one of them.`);
        if (request.method === "HEAD") {
          reply.hijack();
          reply.sse.sendHeaders();
          return reply;
        }
        const { lastEventId } = reply.sse;
        const start =
          lastEventId !== null && isEventId(lastEventId)
            ? lastEventId
            : (since ?? (await ask(events.lastId())));
        clients.add(reply);
        reply.raw.once("close", () => clients.delete(reply));
        reply.sse.keepAlive();
        reply.hijack();
        // What fails is the client's connection: it connects again, and names the last event that it has.
        feed(reply, start, filter).catch(() => reply.sse.close());
        return reply;
      },
    }),
    close() {
      end.abort();
      for (const reply of clients) reply.sse.close();
    },
  };
}
