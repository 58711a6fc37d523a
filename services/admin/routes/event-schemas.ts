/** The schemas of events in the admin's API, and their form there. */
import { z } from "zod";
import { duration } from "../../../shared/config/values.ts";
import { describeEvent } from "../../../shared/events/describe.ts";
import type { StreamEvent } from "../../../shared/events/event.ts";
import { isEventId } from "../../../shared/events/stream/event-reader.ts";
import { messageRow } from "./schemas.ts";

const text = z.string().trim().min(1).max(1000);
const eventId = z.string().refine(isEventId, "is not the place of an event");

/** The fields of the log line are there too: docs/operations.md has them. */
export const eventView = z.looseObject({
  at: z.iso.datetime().describe("UTC, ISO 8601."),
  event: z.string().describe("The name, as in the log: `delivery.deferred`."),
  id: z
    .string()
    .optional()
    .describe("The queue id of the message; the session's id for what concerns no accepted message."),
  eventId: z.string().describe("Its place in the stream, for `since` and `before`."),
  label: z.string().describe("One or two words for people."),
  text: z.string().describe("One line for people, without the time."),
});
export type EventView = z.infer<typeof eventView>;

export function viewOf({ version: _, at, event, id, eventId, ...fields }: StreamEvent): EventView {
  const { session } = fields;
  const named = id ?? (typeof session === "string" ? session : undefined);
  return {
    at: new Date(at).toISOString(),
    event,
    ...(named === undefined ? {} : { id: named }),
    ...fields,
    eventId,
    ...describeEvent({ version: 1, at, event, ...(id === undefined ? {} : { id }), ...fields }),
  };
}

export const traceQuery = z.strictObject({
  q: text.describe("A queue id, an address, a <Message-ID>, or a session's id."),
  limit: wholeNumber(1, 100, 20, "Messages at most, the latest."),
});

export const traceBody = z.object({
  messages: z.array(z.string()).describe("Queue ids, oldest first; notifications about them are not listed."),
  more: z.int().describe("How many earlier messages are left out."),
  events: z.array(eventView).describe("Oldest first, those of notifications about the messages included."),
  queued: z
    .array(messageRow)
    .describe("The jobs of these messages and notifications that are still in the queues."),
});

/** Which events: all that is given must match. */
const filterFields = {
  event: text
    .optional()
    .describe("Names, separated by commas; `delivery` stands for all that begin with `delivery.`"),
  search: text.optional().describe("A part of an address, an id, a server or a reply, in any case."),
};

export const eventsQuery = z.strictObject({
  ...filterFields,
  since: eventId.optional().describe("The events after this one, oldest first."),
  before: eventId.optional().describe("The events before this one, latest first."),
  within: duration.optional().describe("Not older than this: 1h, 7d. Absent: as old as there are."),
  limit: wholeNumber(1, 1000, 100, "Events at most."),
});

export const eventsBody = z.object({
  events: z.array(eventView).describe("Latest first; with `since` oldest first."),
  next: z
    .string()
    .nullable()
    .describe("For `before` (with `since`: for `since`) of the next page; null when there is none now."),
});

export const streamQuery = z.strictObject({
  ...filterFields,
  since: eventId.optional().describe("Begin after this event, where the header Last-Event-ID does not say."),
});

export interface EventFilter {
  event?: string | undefined;
  search?: string | undefined;
}

/** @returns whether an event is one of those that were asked for */
export function eventMatcher({ event: names, search }: EventFilter): (event: StreamEvent) => boolean {
  const wanted = names?.split(",").map((name) => name.trim());
  const part = search?.toLowerCase();
  return (event) => {
    if (
      wanted !== undefined &&
      !wanted.some((name) => event.event === name || event.event.startsWith(`${name}.`))
    )
      return false;
    return part === undefined || JSON.stringify(event).toLowerCase().includes(part);
  };
}

function wholeNumber(minimum: number, maximum: number, value: number, description: string) {
  return z.coerce
    .number()
    .int()
    .min(minimum)
    .max(maximum)
    .default(value)
    .meta({ description, jsonSchema: { type: "integer", minimum, maximum, default: value } });
}
