import assert from "node:assert/strict";
import fc from "fast-check";
import { Dialogue } from "../../../services/ingress/outgoing/dialogue.ts";
import type { ObservedTransaction } from "../../../services/ingress/outgoing/observed-transactions.ts";
import type { ProxyRules } from "../../../services/ingress/outgoing/rules.ts";
import { randomOf, type Target } from "../engine/target.ts";
import { attack } from "../proxy/attack.ts";

const noRules: ProxyRules = { starttls: "pass", requireAuth: false, xclient: "pass" };

/** The input is a script: `C` and `S` at the beginning of a piece say who sends it; pieces end at `|`. */
const target: Target = {
  about:
    "the dialogue of a client and a server through the outgoing proxy, and hostile clients of odd servers under a policy",
  maxOctets: 20_000,
  check(input) {
    checkPassing(input);
    const seed = Math.floor(randomOf(input)() * 2 ** 32);
    const { violation } = attack(seed);
    assert.equal(violation, undefined, `npm run fuzz:proxy -- --dialogues 1 --seed ${seed}`);
  },
  seeds: [
    "S220 x\r\n|CEHLO a\r\n|S250-x\r\n250-STARTTLS\r\n250 CHUNKING\r\n|CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n|S250 a\r\n250 b\r\n|CBDAT 6 LAST\r\nDATA\r\n|S250 c\r\n",
    "S220 x\r\n|CEHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<c>\r\nDATA\r\n|S250 x\r\n250 x\r\n250 x\r\n354 go\r\n|C.\r\nQUIT\r\n|S250 x\r\n221 x\r\n",
    "S220 x\r\n|CAUTH LOGIN\r\n|S334 x\r\n|CYQ==\r\n|S235 ok\r\n|C\0",
    "CSTARTTLS\r\n|S220 a\r\n|C\x16\x03|S220 b\r\n",
    "C\x16\x03\x01",
  ],
  words: [
    "|C",
    "|S",
    "EHLO a\r\n",
    "DATA\r\n",
    "BDAT 5\r\n",
    "BDAT 3 LAST\r\n",
    "MAIL FROM:<a>\r\n",
    "RSET\r\n",
    "AUTH GSSAPI\r\n",
    "STARTTLS\r\n",
    "250 x\r\n",
    "354 x\r\n",
    "334 x\r\n",
    "235 x\r\n",
    "421 x\r\n",
    "220-",
    ".\r\n",
    "XCLIENT A=b\r\n",
    "TURN\r\n",
    "FOO\r\n",
  ],
  long: [
    ["S220 x\r\n|C", "NOOP\r\n", "|S250 x\r\n"],
    ["C", "x", ""],
    ["S220-", "x\r\n220-", ""],
    ["CDATA\r\n|S220 x\r\n354 x\r\n|C", "\r\n..", ""],
  ],
  properties: {
    "whatever is in a BDAT chunk, it is no command": fc.property(
      fc.array(
        fc.constantFrom("MAIL FROM:<x@y>\r\n", "\r\n.\r\n", "QUIT\r\n", "BDAT 9 LAST\r\n", "\0", "RSET\r\n"),
        { maxLength: 8 },
      ),
      fc.boolean(),
      (content, splits) => {
        const chunk = content.join("");
        const transactions: ObservedTransaction[] = [];
        const { dialogue } = open((transaction) => void transactions.push(transaction));
        const send = (text: string) => {
          if (splits) for (const octet of Buffer.from(text, "latin1")) dialogue.fromClient(Buffer.of(octet));
          else dialogue.fromClient(Buffer.from(text, "latin1"));
        };
        dialogue.fromServer(Buffer.from("220 x\r\n"));
        send(`EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT ${chunk.length} LAST\r\n${chunk}`);
        dialogue.fromServer(Buffer.from("250-x\r\n250 CHUNKING\r\n250 a\r\n250 b\r\n250 c\r\n"));
        assert.equal(transactions.length, 1);
        assert.equal(transactions[0]?.octets, chunk.length);
        assert.equal(transactions[0]?.result, "accepted");
      },
    ),
  },
};
export default target;

function open(transactionEnded: (transaction: ObservedTransaction) => void) {
  const toServer: Buffer[] = [];
  const toClient: Buffer[] = [];
  const dialogue = new Dialogue(noRules, {
    sendToServer: (octets) => void toServer.push(Buffer.from(octets)),
    sendToClient: (octets) => void toClient.push(Buffer.from(octets)),
    admitMail: () => true,
    heldInputRead() {},
    transactionEnded,
    becameOpaque() {},
    endDialogue(reason) {
      assert.fail(`no rule, and the dialogue ended: ${reason}`);
    },
  });
  return { dialogue, toServer, toClient };
}

/** Without a policy nothing is changed: what reaches either side is what the other one has sent so far. */
function checkPassing(input: Buffer): void {
  const ended: ObservedTransaction[] = [];
  const { dialogue, toServer, toClient } = open((transaction) => void ended.push(transaction));
  const sent = { C: "", S: "" };
  for (const piece of input.toString("latin1").split("|")) {
    const octets = Buffer.from(piece.slice(1), "latin1");
    if (octets.length === 0) continue;
    if (piece.startsWith("S")) {
      sent.S += piece.slice(1);
      dialogue.fromServer(octets);
    } else {
      sent.C += piece.slice(1);
      dialogue.fromClient(octets);
    }
  }
  const passed = Buffer.concat(toServer).toString("latin1");
  assert.ok(sent.C.startsWith(passed), "what the server gets is not what the client sent");
  if (!dialogue.isHolding && dialogue.isIdle) assert.equal(passed, sent.C);
  assert.equal(Buffer.concat(toClient).toString("latin1"), sent.S);
  dialogue.ended();
  for (const { octets } of ended) assert.ok(octets >= 0);
}
