/** A client and a server that talk SMTP at random, and know what they did: what the observer sees is compared to that. */
import type { ObservedTransaction } from "../../../../services/ingress/outgoing/observed-transactions.ts";

export type Random = () => number;

/** mulberry32: the same seed makes the same dialogue. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T;
}

/** What the server saw of a transaction, in the observer's form. */
export type SeenTransaction = Pick<ObservedTransaction, "reversePath" | "octets" | "result"> & {
  accepted: number;
  refused: number;
};

/** Reads with its own, plain parser: everything so far in one buffer, one octet sequence after another. */
export class ModelServer {
  /** Replies that have not been read yet. */
  out: Buffer = Buffer.from("220-model.test\r\n220 ready\r\n");
  readonly transactions: SeenTransaction[] = [];
  readonly #random: Random;
  #in: Buffer = Buffer.alloc(0);
  #state: "command" | "data" | "auth" = "command";
  #authRounds = 0;
  #open: SeenTransaction | undefined;
  /** The server refused DATA or a chunk of the open transaction. */
  #isSpoilt = false;

  constructor(random: Random) {
    this.#random = random;
  }

  take(octets: Buffer): void {
    this.#in = Buffer.concat([this.#in, octets]);
    while (this.#step());
  }

  #step(): boolean {
    if (this.#state === "data") {
      const framed = Buffer.concat([Buffer.from("\r\n"), this.#in]);
      const end = framed.indexOf("\r\n.\r\n");
      if (end < 0) return false;
      this.#cut(end + 3);
      this.#state = "command";
      this.#finish(end, this.#reply(0.8, 250));
      return true;
    }
    const lineFeed = this.#in.indexOf("\n");
    if (lineFeed < 0) return false;
    const line = this.#in.toString("latin1", 0, lineFeed + 1).trim();
    if (this.#state === "auth") {
      this.#cut(lineFeed + 1);
      this.#auth();
      return true;
    }
    const chunk = /^BDAT (\d+)( LAST)?$/i.exec(line);
    if (chunk !== null) {
      const octets = Number(chunk[1]);
      if (this.#in.length < lineFeed + 1 + octets) return false;
      this.#cut(lineFeed + 1 + octets);
      this.#bdat(octets, chunk[2] !== undefined);
      return true;
    }
    this.#cut(lineFeed + 1);
    this.#command(line);
    return true;
  }

  #command(line: string): void {
    const [verb = "", argument = ""] = line.split(/[ \t]+/, 2);
    switch (verb.toUpperCase()) {
      case "EHLO":
        this.#giveUp();
        this.#say("250-model.test\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-8BITMIME\r\n250 CHUNKING\r\n");
        break;
      case "MAIL": {
        if (this.#open !== undefined) {
          this.#say("503 5.5.1 nested\r\n");
          return;
        }
        const reversePath = /<(.*)>/.exec(argument)?.[1] ?? "";
        this.#open = { reversePath, octets: 0, result: "abandoned", accepted: 0, refused: 0 };
        this.#isSpoilt = false;
        if (!this.#reply(0.9, 250)) this.#end("refused");
        break;
      }
      case "RCPT":
        if (this.#open === undefined) {
          this.#say("503 5.5.1 no MAIL\r\n");
          return;
        }
        if (this.#reply(0.8, 250)) this.#open.accepted++;
        else this.#open.refused++;
        break;
      case "DATA":
        if (this.#open === undefined || this.#open.accepted === 0) {
          if (this.#open !== undefined) this.#isSpoilt = true;
          this.#say("554 5.5.1 no valid recipients\r\n");
          return;
        }
        if (this.#reply(0.9, 354)) this.#state = "data";
        else this.#isSpoilt = true;
        break;
      case "AUTH":
        this.#authRounds = Math.floor(this.#random() * 4);
        this.#auth();
        break;
      case "RSET":
        this.#giveUp();
        this.#say("250 2.0.0 ok\r\n");
        break;
      case "QUIT":
        this.#giveUp();
        this.#say("221 2.0.0 bye\r\n");
        break;
      case "NOOP":
        this.#reply(1, 250);
        break;
      default:
        this.#say("500 5.5.2 what?\r\n");
    }
  }

  #auth(): void {
    const isChallenge = this.#authRounds-- > 0;
    this.#state = isChallenge ? "auth" : "command";
    if (isChallenge) this.#say(`334 ${"QUJD".repeat(Math.floor(this.#random() * 50))}\r\n`);
    else this.#reply(0.5, 235);
  }

  #bdat(octets: number, last: boolean): void {
    if (this.#open === undefined) {
      this.#say("503 5.5.1 no MAIL\r\n");
      return;
    }
    if (this.#open.accepted === 0 || this.#isSpoilt) {
      this.#say("503 5.5.1 no\r\n");
      this.#isSpoilt = true;
      if (last) this.#end("refused");
      return;
    }
    if (!this.#reply(0.9, 250)) {
      this.#isSpoilt = true;
      if (last) this.#end("refused");
      return;
    }
    this.#open.octets += octets;
    if (last) this.#end("accepted");
  }

  #finish(octets: number, isAccepted: boolean): void {
    if (this.#open === undefined) return;
    this.#open.octets += octets;
    this.#end(isAccepted ? "accepted" : "refused");
  }

  #giveUp(): void {
    if (this.#open === undefined) return;
    const { accepted, refused } = this.#open;
    this.#end(this.#isSpoilt || (accepted === 0 && refused > 0) ? "refused" : "abandoned");
  }

  #end(result: SeenTransaction["result"]): void {
    if (this.#open !== undefined) this.transactions.push({ ...this.#open, result });
    this.#open = undefined;
  }

  /** A reply of one or more lines, sometimes long ones. @returns whether it is the positive one */
  #reply(likelihood: number, positive: number): boolean {
    const isPositive = this.#random() < likelihood;
    const code = isPositive ? positive : pick(this.#random, [421, 450, 550, 554]);
    const lines = this.#random() < 0.8 ? 1 : 1 + Math.floor(this.#random() * 6);
    let text = "";
    for (let i = 1; i <= lines; i++) {
      const filler = "x".repeat(Math.floor(this.#random() ** 4 * 3000));
      text += `${code}${i === lines ? pick(this.#random, [" ", " 2.0.0 ok "]) : "-"}${filler}\r\n`;
    }
    this.#say(text);
    return isPositive;
  }

  #say(text: string): void {
    this.out = Buffer.concat([this.out, Buffer.from(text, "latin1")]);
  }

  #cut(octets: number): void {
    this.#in = this.#in.subarray(octets);
  }
}

/** One thing that a client does: sends these octets, then waits for the replies to all of its commands, or does not. */
export interface Step {
  octets: Buffer;
  waits: boolean;
}

/**
 * What a client might send: usual, pipelined, unusual, and wrong. It waits at random, but never talks behind QUIT.
 * @param isLong  lines and messages longer than any buffer between the two
 */
export function randomSteps(random: Random, isLong: boolean): Step[] {
  const steps: Step[] = [];
  const send = (octets: string | Buffer, patience = 0.5) => {
    steps.push({
      octets: typeof octets === "string" ? Buffer.from(octets, "latin1") : octets,
      waits: random() < patience,
    });
  };
  const maybe = (likelihood: number) => random() < likelihood;
  send(pick(random, ["EHLO client.test\r\n", "ehlo  [192.0.2.1]\r\n", " EHLO\tx\n"]));
  if (maybe(0.3)) {
    send("AUTH X-ANY aW5pdGlhbA==\r\n", 0.9);
    for (let i = 0; i < 3; i++)
      if (maybe(0.7)) send(`${"cmVzcG9uc2U=".repeat(Math.floor(random() * 20))}\r\n`, 0.9);
  }
  const transactions = Math.floor(random() * 4);
  for (let n = 0; n < transactions; n++) {
    if (maybe(0.1)) send("NOOP\r\n");
    send(`MAIL FROM:<sender${n}@client.test>${maybe(0.3) ? " BODY=BINARYMIME SIZE=1" : ""}\r\n`);
    for (let i = Math.floor(random() * 4); i > 0; i--) send(`RCPT TO:<rcpt${i}@far.test>\r\n`);
    if (maybe(0.1))
      send(
        pick(random, ["RSET\r\n", "FOO bar\r\n", `NOOP ${"y".repeat(isLong ? 20_000 : 20)}\r\n`, "\r\n"]),
        1,
      );
    if (maybe(0.6)) {
      send("DATA\r\n", 0.9);
      send(framedBody(random, isLong), 0.6);
    } else if (maybe(0.8)) {
      for (let i = Math.floor(random() * 3); i > 0; i--) sendChunk(false);
      sendChunk(true);
    }
  }
  if (maybe(0.8)) send("QUIT\r\n", 1);
  return steps;

  function sendChunk(last: boolean): void {
    const chunk = randomOctets(random, isLong);
    send(Buffer.concat([Buffer.from(`BDAT ${chunk.length}${last ? " LAST" : ""}\r\n`), chunk]));
  }
}

const pieces = [
  "Subject: x\r\n",
  "\r\n",
  "\r",
  "\n",
  ".",
  "\r\n..",
  "\n.\n",
  "\r\n.\n",
  "\n.\r\n",
  "\r\n.\r",
  "\0",
  "\xff\xfe",
  "MAIL FROM:<smuggled@x>\r\n",
  "DATA\r\n",
  "QUIT\r\n",
  "250 ok\r\n",
];

export function randomOctets(random: Random, isLong: boolean): Buffer {
  let text = "";
  for (let i = Math.floor(random() ** 2 * 60); i > 0; i--) text += pick(random, pieces);
  if (isLong && random() < 0.1) text += "z".repeat(70_000);
  return Buffer.from(text, "latin1");
}

/** A message as it follows DATA, dots stuffed and the final one sent, of octets that mislead careless readers. */
export function framedBody(random: Random, isLong: boolean): Buffer {
  let body = `\r\n${randomOctets(random, isLong).toString("latin1")}`;
  if (!body.endsWith("\r\n")) body += "\r\n";
  while (body.includes("\r\n.\r\n")) body = body.replace("\r\n.\r\n", "\r\n..\r\n");
  return Buffer.from(`${body.slice(2)}.\r\n`, "latin1");
}
