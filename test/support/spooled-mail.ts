/** Mail in a spool, as it was stored and as it is found again. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Spool } from "../../shared/spool/spool.ts";
import { bodyOf, someMeta } from "../contract/spool.ts";

export interface Mail {
  id: string;
  states: [number, RecipientState][];
  body: Buffer;
}

export async function store(spool: Spool, states: [number, RecipientState][], size = 100): Promise<Mail> {
  const meta = someMeta(3);
  const body = randomBytes(size);
  const draft = spool.draft();
  await draft.write(body);
  await draft.commit({ ...meta, size });
  for (const [recipient, state] of states)
    await spool.settle([{ id: meta.id, recipients: [recipient], state }]);
  return { id: meta.id, states, body };
}

export const byId = (a: Mail, b: Mail) => (a.id < b.id ? -1 : 1);

/** Everything that is not settled, as it is. */
export async function mailOf(spool: Spool): Promise<Mail[]> {
  const mail: Mail[] = [];
  for await (const { meta, locator, states } of spool.unsettled()) {
    const found = await spool.read(meta.id, locator);
    assert.ok(found);
    mail.push({
      id: meta.id,
      states: [...states].toSorted(([a], [b]) => a - b),
      body: await bodyOf(found.body),
    });
  }
  return mail.toSorted(byId);
}

export async function mailIn(directory: string): Promise<Mail[]> {
  const spool = createFsSpool({ directory });
  return mailOf(spool).finally(() => spool.close());
}
