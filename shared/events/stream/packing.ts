/**
 * How events share entries of the stream: an entry costs Redis more than the octets in it. Pure.
 *
 * An entry has the id of its first event; the ids of the others count up from it. Its fields:
 *
 * - `b`: the events as JSON, one on each line.
 * - `c`: how many they are.
 * - `n`: how many the stream has had up to and with them, those that were removed included.
 *
 * Entries of earlier versions have one event, in the field `e`.
 */
import { decodeEvent, type StreamEvent } from "../event.ts";
import { idAt } from "./keys.ts";

export const linesField = "b";
export const countField = "c";
export const totalField = "n";
export const singleField = "e";

/** The more, the less each costs; but who wants one of them makes Redis copy all. */
export const packEvents = 16;
/** Long ones do not share. */
const packOctets = 16 * 1024;

/** Whether an event of so many characters goes into an entry that has so many events and octets. */
export function joinsPack(count: number, octets: number, characters: number): boolean {
  return count < packEvents && octets + characters <= packOctets;
}

export type StreamEntry = [id: string, fields: string[]];

/** In their order. Leaves out what a later version wrote. */
export function unpacked([id, fields]: StreamEntry): StreamEvent[] {
  const lines = fieldOf(fields, linesField);
  const texts = lines === undefined ? [fieldOf(fields, singleField) ?? ""] : lines.split("\n");
  return texts.flatMap((text, place) => {
    const event = decodeEvent(text);
    return event === undefined ? [] : [{ eventId: idAt(id, place), ...event }];
  });
}

/** The id of the last event of an entry. */
export function lastIdOf([id, fields]: StreamEntry): string {
  return idAt(id, Number(fieldOf(fields, countField) ?? 1) - 1);
}

/** How many events the stream has had up to the end of an entry; absent for an entry of an earlier version. */
export function totalAt([, fields]: StreamEntry): number | undefined {
  const total = fieldOf(fields, totalField);
  return total === undefined ? undefined : Number(total);
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let index = 0; index < fields.length; index += 2) if (fields[index] === name) return fields[index + 1];
  return undefined;
}
