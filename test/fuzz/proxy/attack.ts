/** One hostile client, one odd server and a dialogue between them; then what the server did that the policy forbids. */
import { Dialogue } from "../../../services/ingress/outgoing/dialogue.ts";
import type { ProxyRules } from "../../../services/ingress/outgoing/rules.ts";
import { pick, type Random, seeded } from "../../unit/ingress/outgoing/model-dialogue.ts";
import { randomMoves } from "./client.ts";
import { type Framing, OddServer } from "./server.ts";

export interface Attack {
  seed: number;
  rules: ProxyRules;
  framing: Framing;
  /** What the policy forbids and the server did; absent: the policy held. */
  violation?: string;
  /** Why the dialogue was ended. */
  ended?: string;
  mails: number;
  /** What reached the server. */
  received: string;
}

const policies: readonly ProxyRules[] = [
  { starttls: "pass", requireAuth: true, xclient: "pass" },
  { starttls: "strip", requireAuth: false, xclient: "pass" },
  { starttls: "pass", requireAuth: false, xclient: "refuse" },
  { starttls: "pass", requireAuth: false, xclient: "pass", limitsMail: true },
  { starttls: "strip", requireAuth: true, xclient: "refuse", limitsMail: true },
];

/** The same seed makes the same attack. */
export function attack(seed: number): Attack {
  const random = seeded(seed);
  const rules = pick(random, policies);
  const framing = randomFraming(random);
  const server = new OddServer(framing, random);
  const received: Buffer[] = [];
  let admitted = Math.floor(random() * 3);
  let mails = 0;
  let ended: string | undefined;
  let isClientReading = true;
  const dialogue = new Dialogue(rules, {
    sendToServer(octets) {
      received.push(octets);
      server.take(octets);
    },
    sendToClient() {},
    admitMail() {
      if (admitted === 0) return false;
      admitted--;
      mails++;
      return true;
    },
    heldInputRead() {},
    transactionEnded() {},
    becameOpaque() {},
    endDialogue(reason) {
      ended = reason;
      isClientReading = false;
    },
  });
  const maxPiece = pick(random, [1, 7, 100, 100_000]);
  const cut = () => 1 + Math.floor(random() * maxPiece);
  const moves = randomMoves(random);
  let out = "";
  let isWaiting = true;
  while (isClientReading) {
    const [next] = moves;
    // A server with a reply too many to every line is known by that, unless it is slower than its client.
    if (framing.lineEnd === "cr-and-lf" && server.out !== "") {
      dialogue.fromServer(Buffer.from(server.out, "latin1"));
      server.out = "";
    } else if (out === "" && next !== undefined && (!isWaiting || server.out === "" || random() < 0.05)) {
      moves.shift();
      out = next.octets;
      isWaiting = next.waits;
    } else if (out !== "" && (server.out === "" || random() < 0.5)) {
      const octets = out.slice(0, maxPiece < 100 && out.length > 1000 ? 997 : cut());
      out = out.slice(octets.length);
      dialogue.fromClient(Buffer.from(octets, "latin1"));
    } else if (server.out !== "") {
      const octets = server.out.slice(0, cut());
      server.out = server.out.slice(octets.length);
      dialogue.fromServer(Buffer.from(octets, "latin1"));
    } else break;
  }
  const violation = whatWasViolated(rules, server, mails);
  return {
    seed,
    rules,
    framing,
    ...(violation === undefined ? {} : { violation }),
    ...(ended === undefined ? {} : { ended }),
    mails: server.executed.filter((verb) => verb === "MAIL").length,
    received: Buffer.concat(received).toString("latin1"),
  };
}

function whatWasViolated(rules: ProxyRules, server: OddServer, admitted: number): string | undefined {
  if (rules.requireAuth && server.mailBeforeAuth) return "require_auth: MAIL before AUTH was accepted";
  if (rules.starttls === "strip" && server.executed.includes("STARTTLS")) return "starttls: STARTTLS";
  if (rules.xclient === "refuse" && server.executed.includes("XCLIENT")) return "xclient: XCLIENT";
  const mails = server.executed.filter((verb) => verb === "MAIL").length;
  if (rules.limitsMail === true && mails > admitted) return `rate: ${mails} MAILs, ${admitted} admitted`;
  return undefined;
}

function randomFraming(random: Random): Framing {
  const rarely = () => random() < 0.2;
  return {
    lineEnd: pick(random, ["crlf", "lf", "lf", "cr-or-lf", "cr-and-lf"]),
    // RFC 4954 §4 demands 12,288 octets of a server that offers AUTH; Exim has 16,384.
    splitAt: pick(random, [12_286, 16_384, 65_536]),
    dropsNul: rarely(),
    skipsSpace: random() < 0.5,
    comparesBeginnings: rarely(),
    chunking: random() < 0.7,
    startTls: random() < 0.7,
    sizes: pick(random, ["exact", "exact", "modulo 2^32", "signed", "octal"]),
    answersEarly: rarely(),
    greetsTwice: rarely(),
    asksForMore: rarely(),
  };
}
