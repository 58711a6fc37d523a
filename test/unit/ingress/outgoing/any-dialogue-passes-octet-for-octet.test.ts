import assert from "node:assert/strict";
import { test } from "node:test";
import { Dialogue } from "../../../../services/ingress/outgoing/dialogue.ts";
import type { ObservedTransaction } from "../../../../services/ingress/outgoing/observed-transactions.ts";
import {
  ModelServer,
  pick,
  type Random,
  randomSteps,
  type SeenTransaction,
  seeded,
} from "./model-dialogue.ts";

const rules = { starttls: "pass", requireAuth: false, xclient: "pass" } as const;

interface Talk {
  clientSent: Buffer;
  serverReceived: Buffer;
  serverSent: Buffer;
  clientReceived: Buffer;
  /** By the server. */
  happened: SeenTransaction[];
  /** By the dialogue. */
  seen: SeenTransaction[];
  /** The client sent a NUL first of all after AUTH, as only a security layer does: the rest is not compared. */
  isOpaque: boolean;
}

/** Lets client and server talk through a dialogue, in pieces of random size that arrive in random order. */
function talk(random: Random): Talk {
  const server = new ModelServer(random);
  const sent = { client: [] as Buffer[], server: [] as Buffer[] };
  const received = { client: [] as Buffer[], server: [] as Buffer[] };
  const seen: SeenTransaction[] = [];
  const dialogue = new Dialogue(rules, {
    sendToServer(octets) {
      received.server.push(octets);
      server.take(octets);
    },
    sendToClient: (octets) => received.client.push(octets),
    admitMail: () => true,
    heldInputRead() {},
    transactionEnded: (transaction) => seen.push(asSeen(transaction)),
    becameOpaque: (reason) => assert.equal(reason, "sasl-layer"),
    endDialogue: (reason) => assert.fail(reason),
  });
  const maxPiece = pick(random, [1, 3, 40, 5000, 200_000]);
  const cut = (octets: Buffer) => {
    const size = Math.min(octets.length, 1 + Math.floor(random() * maxPiece));
    return { piece: octets.subarray(0, size), rest: octets.subarray(size) };
  };
  const steps = randomSteps(random, maxPiece >= 5000);
  let clientOut: Buffer = Buffer.alloc(0);
  let isWaiting = true;
  for (;;) {
    const [next] = steps;
    const mayGoOn = !isWaiting || server.out.length === 0 || random() < 0.05;
    if (clientOut.length === 0 && next !== undefined && mayGoOn) {
      steps.shift();
      clientOut = next.octets;
      isWaiting = next.waits;
    } else if (clientOut.length > 0 && (server.out.length === 0 || random() < 0.5)) {
      const { piece, rest } = cut(clientOut);
      clientOut = rest;
      sent.client.push(piece);
      dialogue.fromClient(piece);
    } else if (server.out.length > 0) {
      const { piece, rest } = cut(server.out);
      server.out = rest;
      sent.server.push(piece);
      dialogue.fromServer(piece);
    } else break;
  }
  return {
    clientSent: Buffer.concat(sent.client),
    serverReceived: Buffer.concat(received.server),
    serverSent: Buffer.concat(sent.server),
    clientReceived: Buffer.concat(received.client),
    happened: server.transactions,
    seen,
    isOpaque: dialogue.isOpaque,
  };
}

function asSeen({ reversePath, octets, result, accepted, refused }: ObservedTransaction): SeenTransaction {
  return { reversePath, octets, result, accepted: accepted.count, refused: refused.count };
}

test("2,000 random dialogues, cut anywhere, pass octet for octet, and every transaction is seen as it was", () => {
  let transactions = 0;
  let opaque = 0;
  for (let seed = 1; seed <= 2000; seed++) {
    const { clientSent, serverReceived, serverSent, clientReceived, happened, seen, isOpaque } = talk(
      seeded(seed),
    );
    assert.ok(serverReceived.equals(clientSent), `seed ${seed}: the server received what the client sent`);
    assert.ok(clientReceived.equals(serverSent), `seed ${seed}: the client received what the server sent`);
    if (isOpaque) opaque++;
    else assert.deepEqual(seen, happened, `seed ${seed}: the transactions`);
    transactions += seen.length;
  }
  assert.ok(transactions > 1500, `${transactions} transactions: enough to mean something`);
  assert.ok(opaque < 20, `${opaque} dialogues were not looked at: few enough`);
});
