/**
 * Spools in a store, as ends of a hand-over. A store has no rename by which copies become the spool's own at once: hence no
 * service uses it meanwhile, which its closure sees to, and nothing that was copied goes before all is done.
 */
import type { Closure } from "../closure.ts";
import type { Spool } from "../spool.ts";
import { copyMessage, isUnavailable } from "./copy-message.ts";
import type { HandedMessage, Source, Target, Unsettled } from "./ends.ts";
import { settlementsOf } from "./settlements.ts";

/** A spool in a store, opened for a hand-over. Its owner closes it. */
export interface StoreEnd {
  /** For people: `s3://mail/gw1/`. */
  name: string;
  spool: Spool & { readonly closure: Closure; removeMessages(ids: ReadonlySet<string>): Promise<void> };
}

export function storeSource({ name, spool }: StoreEnd): Source {
  const { closure } = spool;
  return {
    async read() {
      const closed = await closure.read();
      if (closed === undefined) return undefined;
      const { id, role, other } = closed;
      if (role === "to") throw new Error(`the mail of the spool ${other} is being copied into ${name}`);
      const phase = (await closure.isCommitted(id)) ? "committed" : "copying";
      return { version: 1, id, to: other, phase };
    },
    write: ({ id, to, phase }) =>
      phase === "committed" ? closure.commit(id) : closure.close({ id, role: "from", other: to }),
    remove: ({ id }) => closure.open(id),
    async use(work) {
      const result = await work(spool);
      await spool.recordSettlements();
      return result;
    },
    mustBeWhole(of) {
      const [fault] = of.faults();
      if (fault !== undefined) throw new Error(`${name} cannot be read: ${fault.place}: ${fault.reason}`);
    },
    isStorageError: isUnavailable,
  };
}

/** Messages that are written at the same time, and share objects. */
const writesAtOnce = 100;

/** @param from  the other spool, for people */
export function storeTarget({ name, spool }: StoreEnd, from: string): Target {
  const { closure } = spool;
  /** The source by another name says `from` with the same id: its mail must be neither settled nor removed as copies. */
  const isOurs = async (id: string): Promise<boolean> => {
    const closed = await closure.read();
    return closed?.id === id && closed.role === "to";
  };
  return {
    name,
    async begin(id) {
      const closed = await closure.read();
      if (closed?.id === id && closed.role === "from") throw new Error(`${name} is this spool itself`);
      if (closed !== undefined && closed.id !== id)
        throw new Error(
          closed.role === "from"
            ? `the mail of ${name} is being handed to the spool ${closed.other}`
            : `the mail of the spool ${closed.other} is being copied into ${name}`,
        );
      if (closed === undefined) await closure.close({ id, role: "to", other: from });
    },
    async copied() {
      return new Set((await listAll(spool)).keys());
    },
    async copy(_id, source, messages) {
      // The states are there before the message: a message that is there has them all.
      await spool.settle(messages.flatMap(({ meta, states }) => settlementsOf(meta.id, states)));
      await spool.recordSettlements();
      const copied: string[] = [];
      const unreadable: string[] = [];
      for (let start = 0; start < messages.length; start += writesAtOnce) {
        const some = messages.slice(start, start + writesAtOnce);
        const written = await Promise.allSettled(some.map((message) => copyMessage(source, spool, message)));
        for (const [index, one] of written.entries()) {
          if (one.status === "rejected") throw one.reason;
          (one.value === undefined ? unreadable : copied).push(some[index]?.meta.id ?? "");
        }
      }
      return { copied, unreadable };
    },
    async check(ids) {
      const there = await listAll(spool);
      const missing = [...ids].filter((id) => !there.has(id));
      if (missing.length > 0)
        throw new Error(
          `${missing.length} messages are not found in ${name}, the first is ${missing[0]}: nothing was handed over; run the command again, or end it with --cancel and begin anew after 20 minutes`,
        );
    },
    async give(id, source, onProgress) {
      // Open again: a run before had settled all of it in the source.
      if (!(await isOurs(id))) return [];
      const there = await listAll(spool);
      const all = await source.use(async (from) => {
        const found: HandedMessage[] = [];
        for await (const { meta, states } of from.unsettled())
          if (there.has(meta.id))
            found.push({ id: meta.id, recipients: meta.envelope.recipients.length, states: [...states] });
        return found;
      });
      onProgress(all.length);
      return all;
    },
    end: (id) => closure.open(id),
    async cancel(id, source) {
      if (!(await isOurs(id))) return;
      const ids = await source.use(async (from) => {
        const damaged: string[] = [];
        const listed = await listAll(from, (each) => damaged.push(each));
        return new Set([...listed.keys(), ...damaged]);
      });
      await spool.removeMessages(ids);
      await closure.open(id);
    },
  };
}

/** @throws SpoolUnavailable */
async function listAll(
  spool: Spool,
  onUnreadable: (id: string) => void = () => {},
): Promise<Map<string, Unsettled["states"]>> {
  const found = new Map<string, Unsettled["states"]>();
  const walk = spool.unsettled({ onUnreadable: ({ id }) => onUnreadable(id) });
  for await (const { meta, states } of walk) found.set(meta.id, states);
  return found;
}
