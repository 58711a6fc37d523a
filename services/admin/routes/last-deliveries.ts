/** The last replies with which a destination has taken mail, from the latest events. */
import { z } from "zod";
import type { EventReader } from "../../../shared/events/stream/event-reader.ts";

/** A quarter of a megabyte of events: on a busy gateway the last seconds of all destinations. */
const looksAt = 500;
const maxShown = 3;

export interface LastDelivery {
  at: string;
  id: string;
  to: string;
  remote: string;
  reply: string;
}

const delivered = z.object({
  at: z.number(),
  id: z.string(),
  event: z.literal("delivery.delivered"),
  to: z.string(),
  remote: z.string(),
  reply: z.string(),
});

/** Of `host[address]:port` or `[address]:port`, as deliveries log it. */
function hostOf(remote: string): string {
  const [, address, host] = /^(?:\[([^\]]+)\]|([^[]+))/.exec(remote) ?? [];
  return (address ?? host ?? remote).toLowerCase();
}

/** The latest first. @param name  a domain of recipients, or a host in lower case. @throws Error of Redis */
export async function lastDeliveries(
  events: Pick<EventReader, "before">,
  name: string,
): Promise<LastDelivery[]> {
  const found: LastDelivery[] = [];
  for (const event of await events.before(undefined, looksAt)) {
    const { data } = delivered.safeParse(event);
    if (data === undefined) continue;
    const { at, id, to, remote, reply } = data;
    const isMeant = to.toLowerCase().endsWith(`@${name}`) || hostOf(remote) === name;
    if (isMeant) found.push({ at: new Date(at).toISOString(), id, to, remote, reply });
    if (found.length === maxShown) break;
  }
  return found;
}
