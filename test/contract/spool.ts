/** The contract of every spool. Each implementation runs this suite; see spool.test.ts. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { makeQueueId } from "../../shared/mail/queue-id.ts";
import type { Diagnosis } from "../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import {
  type Body,
  type Settlement,
  type Spool,
  SpoolUnavailable,
  type StoredMessage,
} from "../../shared/spool/spool.ts";

/** A message with this number of recipients. */
export function someMeta(recipients = 1, id = makeQueueId(Date.now(), randomBytes(9))): MessageMeta {
  return {
    version: 1,
    id,
    receivedAtMs: 1_700_000_000_000,
    envelope: {
      reversePath: "sender@example.org",
      recipients: Array.from({ length: recipients }, (_, n) => ({ address: `r${n}@example.com` })),
    },
    origin: null,
    received: "Received: by gw.example.net (Postern)\r\n id 1; Tue, 14 Nov 2023 22:13:20 +0000\r\n",
    messageId: "<ä@example.org>",
    size: 0,
    has8bit: false,
    parts: [Array.from({ length: recipients }, (_, n) => n)],
  };
}

export const someDiagnosis: Diagnosis = {
  status: "5.1.1",
  class: "5xx",
  reason: "no such user",
  reply: { code: 550, enhanced: "5.1.1", lines: ["no such user", "grüße\n= 1"], command: "RCPT" },
  remote: { host: "mx.example.com", address: "192.0.2.1", port: 25 },
  atMs: 1_700_000_000_000,
};

export async function store(
  spool: Spool,
  body: Buffer | string,
  meta = someMeta(),
  settles?: Settlement,
): Promise<StoredMessage> {
  const draft = spool.draft();
  await draft.write(Buffer.from(body));
  return draft.commit(meta, settles);
}

export async function bodyOf(body: Body): Promise<Buffer> {
  if (body.kind === "buffer") return body.bytes;
  const chunks: Buffer[] = [];
  for await (const chunk of body.open()) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function unsettledIds(spool: Spool): Promise<string[]> {
  const ids: string[] = [];
  for await (const { meta } of spool.unsettled()) ids.push(meta.id);
  return ids;
}

export async function textOf(spool: Spool, { meta, locator }: StoredMessage): Promise<string> {
  const message = await spool.read(meta.id, locator);
  assert.ok(message, "the message was found");
  return (await bodyOf(message.body)).toString();
}

const delivered: RecipientState = { kind: "delivered" };
const pending: RecipientState = { kind: "pending" };
const failed: RecipientState = { kind: "failed", diagnosis: someDiagnosis };
const dead: RecipientState = { kind: "dead", diagnosis: someDiagnosis, atMs: 1_700_000_000_001 };

/** @param open  opens a new, empty spool whose bodies above 64 KiB count as large */
export function spoolContract(name: string, open: () => Spool | Promise<Spool>): void {
  describe(`the spool contract: ${name}`, () => {
    let spool: Spool;
    before(async () => {
      spool = await open();
    });
    after(() => spool.close());

    test("a committed message is read back octet for octet, with and without a locator", async () => {
      const meta = someMeta(2);
      const octets = randomBytes(5000);
      const draft = spool.draft();
      await draft.write(octets.subarray(0, 1));
      await draft.write(octets.subarray(1, 10));
      await draft.write(octets.subarray(10));
      assert.equal(draft.size, 5000);
      const stored = await draft.commit(meta);
      assert.deepEqual(stored.meta, meta);
      for (const locator of [stored.locator, undefined]) {
        const message = await spool.read(meta.id, locator);
        assert.deepEqual(message?.meta, meta);
        assert.ok(message);
        assert.deepEqual(await bodyOf(message.body), octets);
      }
    });

    test("an empty body is a body", async () => {
      const stored = await spool.draft().commit(someMeta());
      assert.equal(await textOf(spool, stored), "");
    });

    test("a large body is read as a stream, as often as it is opened", async () => {
      const octets = randomBytes(700_000);
      const draft = spool.draft();
      for (let at = 0; at < octets.length; at += 33_333) await draft.write(octets.subarray(at, at + 33_333));
      const { meta, locator } = await draft.commit(someMeta());
      const message = await spool.read(meta.id, locator);
      assert.equal(message?.body.kind, "file");
      assert.equal(message.body.size, octets.length);
      assert.ok((await bodyOf(message.body)).equals(octets));
      assert.ok((await bodyOf(message.body)).equals(octets));
      const again = await spool.read(meta.id);
      assert.ok(again && (await bodyOf(again.body)).equals(octets));
    });

    test("an unknown id, or a text that is no id, finds no message", async () => {
      const { locator } = await store(spool, "there");
      assert.equal(await spool.read("01UNKNOWN"), undefined);
      assert.equal(await spool.read("../../etc/passwd"), undefined);
      assert.equal(
        await spool.read("01UNKNOWN", { ...locator, segment: "000000000-aaaaaaaaaaaa" }),
        undefined,
      );
    });

    test("an envelope is read without its body, with and without a locator", async () => {
      const meta = someMeta(2);
      const { locator } = await store(spool, randomBytes(700_000), meta);
      assert.deepEqual(await spool.readMeta(meta.id, locator), meta);
      assert.deepEqual(await spool.readMeta(meta.id), meta);
      assert.equal(await spool.readMeta("01UNKNOWN"), undefined);
      assert.equal(await spool.readMeta("../../etc/passwd"), undefined);
    });

    test("a discarded draft leaves nothing, and a draft ends only once", async () => {
      const before = (await unsettledIds(spool)).length;
      const draft = spool.draft();
      await draft.write(Buffer.alloc(100_000));
      await draft.discard();
      await draft.discard();
      await assert.rejects(async () => draft.write(Buffer.from("more")));
      await assert.rejects(draft.commit(someMeta()));
      const ended = spool.draft();
      await ended.commit(someMeta());
      await ended.discard();
      await assert.rejects(ended.commit(someMeta()));
      assert.equal((await unsettledIds(spool)).length, before + 1);
    });

    test("a queue id that cannot be a file's name is refused", async () => {
      await assert.rejects(spool.draft().commit(someMeta(1, "../x")), TypeError);
      await assert.rejects(spool.settle([{ id: "a b", recipients: [0], state: delivered }]), TypeError);
    });

    test("messages that are committed together are not confused", async () => {
      const all = await Promise.all(Array.from({ length: 300 }, (_, n) => store(spool, `message ${n}`)));
      const texts = await Promise.all(all.map((stored) => textOf(spool, stored)));
      texts.forEach((text, n) => {
        assert.equal(text, `message ${n}`);
      });
    });

    test("recipients begin as pending, and a settlement shows at once", async () => {
      const { meta } = await store(spool, "x", someMeta(4));
      assert.equal((await spool.states(meta.id)).size, 0);
      await spool.settle([
        { id: meta.id, recipients: [0], state: delivered },
        { id: meta.id, recipients: [1, 2], state: failed },
      ]);
      const expected = new Map<number, RecipientState>([
        [0, delivered],
        [1, failed],
        [2, failed],
      ]);
      assert.deepEqual(await spool.states(meta.id), expected);
      assert.deepEqual(await spool.states(meta.id, true), expected);
    });

    test("the later settlement counts, but a settled recipient stays settled", async () => {
      const { meta } = await store(spool, "x", someMeta(3));
      const settle = (recipient: number, state: RecipientState) =>
        spool.settle([{ id: meta.id, recipients: [recipient], state }]);
      await settle(0, delivered);
      await settle(0, pending);
      await settle(0, failed);
      await settle(1, dead);
      await settle(1, pending);
      await settle(2, failed);
      await settle(2, { kind: "bounced" });
      await settle(2, dead);
      assert.deepEqual(
        await spool.states(meta.id),
        new Map<number, RecipientState>([
          [0, delivered],
          [1, pending],
          [2, { kind: "bounced" }],
        ]),
      );
    });

    test("a next hop that an operator chose stays with a recipient while it is pending, whatever else is recorded", async () => {
      const { meta } = await store(spool, "x", someMeta(4));
      const settle = (recipients: number[], state: RecipientState) =>
        spool.settle([{ id: meta.id, recipients, state }]);
      await settle([0, 1, 2, 3], { kind: "pending", via: "isp" });
      await settle([0], { kind: "pending", warned: true });
      await settle([1], dead);
      await settle([2], delivered);
      await settle([2], { kind: "pending", via: "isp2" });
      await settle([3], { kind: "pending", via: "" });
      const expected = [{ kind: "pending", warned: true, via: "isp" }, dead, delivered, { kind: "pending" }];
      const states = await spool.states(meta.id, true);
      assert.deepEqual(
        [0, 1, 2, 3].map((recipient) => states.get(recipient) ?? { kind: "pending" }),
        expected,
      );
      await settle([1], pending);
      assert.deepEqual((await spool.states(meta.id)).get(1), { kind: "pending", via: "isp" });
    });

    test("a message is unsettled until all its recipients are settled", async () => {
      const { meta, locator } = await store(spool, "x", someMeta(3));
      const mine = async () => {
        for await (const found of spool.unsettled()) if (found.meta.id === meta.id) return found;
        return undefined;
      };
      assert.deepEqual(await mine(), { meta, locator, states: new Map() });
      await spool.settle([{ id: meta.id, recipients: [0, 2], state: delivered }]);
      await spool.settle([{ id: meta.id, recipients: [1], state: dead }]);
      assert.equal((await mine())?.states.get(1)?.kind, "dead");
      await spool.settle([{ id: meta.id, recipients: [1], state: { kind: "removed" } }]);
      assert.equal(await mine(), undefined);
    });

    test("a delivered recipient with a pending report keeps its message until the report is made", async () => {
      const { meta } = await store(spool, "x");
      const { reply, remote } = someDiagnosis;
      assert.ok(reply && remote);
      const state: RecipientState = {
        kind: "delivered",
        success: { kind: "relayed", reply, remote, atMs: 1 },
      };
      await spool.settle([{ id: meta.id, recipients: [0], state }]);
      assert.deepEqual((await spool.states(meta.id, true)).get(0), state);
      assert.ok((await unsettledIds(spool)).includes(meta.id));
      const settles = { id: meta.id, recipients: [0], state: delivered };
      await store(spool, "a notification", someMeta(), settles);
      assert.deepEqual((await spool.states(meta.id, true)).get(0), delivered);
      assert.ok(!(await unsettledIds(spool)).includes(meta.id));
    });

    test("unsettled() reads the states of a message when it is asked for that message", async () => {
      const first = await store(spool, "1");
      const second = await store(spool, "2");
      const walk = spool.unsettled()[Symbol.asyncIterator]();
      const seen: string[] = [];
      for (let next = await walk.next(); !next.done; next = await walk.next()) {
        seen.push(next.value.meta.id);
        if (next.value.meta.id === first.meta.id)
          await spool.settle([{ id: second.meta.id, recipients: [0], state: delivered }]);
      }
      assert.ok(seen.includes(first.meta.id));
      assert.ok(!seen.includes(second.meta.id));
    });

    test("a walk goes on behind any message that an earlier walk listed", async () => {
      for (let n = 0; n < 4; n++) await Promise.all([1, 2, 3].map((each) => store(spool, `${n} ${each}`)));
      const all: StoredMessage[] = [];
      for await (const found of spool.unsettled()) all.push(found);
      // The last ones share a segment, and earlier tests have left others.
      const some = [...all.entries()].filter(([index]) => index === 0 || index >= all.length - 10);
      for (const [index, { meta, locator }] of some) {
        const listed: string[] = [];
        for await (const found of spool.unsettled({ after: { id: meta.id, locator } }))
          listed.push(found.meta.id);
        assert.deepEqual(
          listed,
          all.slice(index + 1).map((each) => each.meta.id),
        );
      }
    });

    test("a message that settles another one does so when it is committed", async () => {
      const reported = await store(spool, "x", someMeta(2));
      await spool.settle([{ id: reported.meta.id, recipients: [0, 1], state: failed }]);
      const settles = { id: reported.meta.id, recipients: [0, 1], state: { kind: "bounced" as const } };
      await store(spool, "a notification", someMeta(), settles);
      assert.deepEqual(
        [...(await spool.states(reported.meta.id)).values()],
        [{ kind: "bounced" }, { kind: "bounced" }],
      );
      assert.ok(!(await unsettledIds(spool)).includes(reported.meta.id));
    });

    test("collecting keeps unsettled messages and their states", async () => {
      const all = await Promise.all(Array.from({ length: 20 }, (_, n) => store(spool, `${n}`, someMeta(2))));
      for (const [n, { meta }] of all.entries()) {
        const recipients = n % 3 === 0 ? [0, 1] : n % 3 === 1 ? [0] : [];
        await spool.settle([{ id: meta.id, recipients, state: delivered }]);
      }
      await spool.collect();
      await spool.collect();
      const unsettled = await unsettledIds(spool);
      for (const [n, stored] of all.entries()) {
        assert.equal(unsettled.includes(stored.meta.id), n % 3 !== 0);
        if (n % 3 === 0) continue;
        assert.equal(await textOf(spool, stored), `${n}`);
        assert.equal((await spool.states(stored.meta.id)).size, n % 3 === 1 ? 1 : 0);
      }
    });

    test("the spool reports its free and used space", async () => {
      const status = await spool.status();
      assert.ok(status.bytesUsed > 0);
      assert.ok(status.bytesFree > 0);
      assert.ok(status.segments > 0);
    });

    test("a closed spool refuses every call, and finishes commits that had begun", async () => {
      const other = await open();
      const open1 = other.draft();
      await open1.write(Buffer.from("never"));
      const under = store(other, "under way");
      await Promise.resolve();
      await other.close();
      await under;
      await assert.rejects(open1.commit(someMeta()), SpoolUnavailable);
      assert.throws(() => other.draft(), SpoolUnavailable);
      await assert.rejects(other.read("x"), SpoolUnavailable);
      await assert.rejects(other.settle([{ id: "x", recipients: [0], state: delivered }]), SpoolUnavailable);
      await other.close();
    });
  });
}
