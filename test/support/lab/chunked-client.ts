/**
 * Runs many sessions with a chunked server: `node chunked-client.ts ADDRESS PORT SESSIONS CONCURRENCY SEED`. Commands and
 * messages are sent in random pieces, pipelined or not. Prints one line of JSON: `{ sessions, messages, octets, failures }`.
 */
import { createHash } from "node:crypto";
import net from "node:net";
import { framedBody, type Random, randomOctets, seeded } from "../../unit/ingress/outgoing/model-dialogue.ts";
import { ChunkedWriter } from "./chunks.ts";

const [address = "", port = "", sessions = "1", concurrency = "1", seed = "1"] = process.argv.slice(2);
const limitMs = 60_000;
let messages = 0;
let octets = 0;

/** The last line of a reply, and the hash of all octets that the server sent before it. */
interface Heard {
  line: string;
  before: string;
}

class Session {
  readonly #writer: ChunkedWriter;
  readonly #socket: net.Socket;
  readonly #heard = createHash("sha256");
  #unread: Buffer = Buffer.alloc(0);
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(socket: net.Socket, random: Random) {
    this.#socket = socket;
    this.#writer = new ChunkedWriter(socket, random);
    socket.on("data", (chunk: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, chunk]);
      this.#wake?.();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake?.();
    });
    socket.setTimeout(limitMs, () => socket.destroy());
  }

  say(text: Buffer): void {
    octets += text.length;
    this.#writer.write(text);
  }

  async hear(code: number): Promise<Heard> {
    for (;;) {
      const end = this.#unread.indexOf("\n") + 1;
      if (end > 0) {
        const taken = this.#unread.subarray(0, end);
        this.#unread = this.#unread.subarray(end);
        octets += taken.length;
        const line = taken.toString("latin1");
        const isLast = line[3] === " ";
        const before = isLast ? this.#heard.copy().digest("hex") : "";
        this.#heard.update(taken);
        if (!line.startsWith(`${code}`)) throw new Error(`${code} was expected: ${line}`);
        if (isLast) return { line, before };
      } else if (this.#isClosed) throw new Error(`closed while ${code} was expected`);
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  async untilClosed(): Promise<void> {
    while (!this.#isClosed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#unread.length > 0) throw new Error("octets after 221");
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function talk(session: Session, random: Random): Promise<void> {
  await session.hear(220);
  session.say(Buffer.from("EHLO client.example\r\n"));
  await session.hear(250);
  for (let left = Math.ceil(random() * 2); left > 0; left--) await sendMessage(session, random);
  session.say(Buffer.from("QUIT\r\n"));
  const { line, before } = await session.hear(221);
  if (!line.includes(before)) throw new Error("the server said something else than was heard");
  await session.untilClosed();
}

async function sendMessage(session: Session, random: Random): Promise<void> {
  const recipients = Array.from(
    { length: Math.ceil(random() * 3) },
    (_, n) => `RCPT TO:<r${n}@far.example>\r\n`,
  );
  const commands = ["MAIL FROM:<anna@client.example>\r\n", ...recipients];
  const isChunked = random() < 0.4;
  if (!isChunked) commands.push("DATA\r\n");
  const awaits = (command: string): number => (command === "DATA\r\n" ? 354 : 250);
  const isPipelined = random() < 0.5;
  if (isPipelined) session.say(Buffer.from(commands.join("")));
  for (const command of commands) {
    if (!isPipelined) session.say(Buffer.from(command));
    await session.hear(awaits(command));
  }
  const isLong = random() < 0.05;
  const message = isChunked ? randomOctets(random, isLong) : framedBody(random, isLong);
  const prefix = isChunked ? Buffer.from(`BDAT ${message.length} LAST\r\n`) : Buffer.alloc(0);
  session.say(Buffer.concat([prefix, message]));
  const { line } = await session.hear(250);
  const hash = createHash("sha256").update(message).digest("hex");
  if (!line.includes(hash)) throw new Error(`a message of ${message.length} octets arrived as another`);
  messages++;
}

const failures: string[] = [];
let started = 0;
async function work(): Promise<void> {
  while (started < Number(sessions)) {
    const number = Number(seed) * 1_000_000 + started++;
    const socket = net.connect({ host: address, port: Number(port), noDelay: true });
    const random = seeded(number);
    const session = new Session(socket, random);
    try {
      await talk(session, random);
    } catch (error) {
      failures.push(`session ${number}: ${(error as Error).message}`);
    }
    session.close();
  }
}
await Promise.all(Array.from({ length: Number(concurrency) }, work));
console.log(JSON.stringify({ sessions: started, messages, octets, failures: failures.slice(0, 10) }));
process.exitCode = failures.length === 0 ? 0 : 1;
