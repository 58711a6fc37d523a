/**
 * A server that reports what it received: `node chunked-server.ts ADDRESS PORT`, until it is killed. The reply to a message
 * has the hash of its octets, the reply to QUIT that of everything the server has sent. Replies are sent in random pieces.
 */
import { createHash } from "node:crypto";
import net from "node:net";
import { pick, seeded } from "../../unit/ingress/outgoing/model-dialogue.ts";
import { ChunkedWriter } from "./chunks.ts";

const [address = "", port = ""] = process.argv.slice(2);
let sessions = 0;

function serve(socket: net.Socket): void {
  const random = seeded(++sessions);
  const writer = new ChunkedWriter(socket, random);
  const said = createHash("sha256");
  let heard: Buffer = Buffer.alloc(0);
  /** The octets that are still to come of a chunk; `data`: until the final dot. */
  let awaited: number | "data" | undefined;

  const say = (code: number, text: string): void => {
    const lines = Array.from(
      { length: random() < 0.7 ? 0 : Math.ceil(random() * 5) },
      () => `${code}-${"x".repeat(Math.floor(random() ** 4 * 600))}\r\n`,
    );
    const reply = Buffer.from(`${lines.join("")}${code} ${text}\r\n`);
    said.update(reply);
    writer.write(reply);
  };
  const take = (length: number): Buffer => {
    const taken = heard.subarray(0, length);
    heard = heard.subarray(length);
    return taken;
  };
  const sayHash = (octets: Buffer): void => {
    awaited = undefined;
    say(250, `2.0.0 ${createHash("sha256").update(octets).digest("hex")}`);
  };
  const command = (line: string): void => {
    const verb = line.slice(0, 4).toUpperCase();
    const size = /^BDAT (\d+)/i.exec(line)?.[1];
    if (size !== undefined) awaited = Number(size);
    else if (verb === "DATA") {
      awaited = "data";
      say(354, "go ahead");
    } else if (verb === "EHLO") say(250, pick(random, ["PIPELINING", "CHUNKING", "8BITMIME"]));
    else if (verb === "QUIT") {
      writer.write(Buffer.from(`221 2.0.0 ${said.digest("hex")}\r\n`));
      writer.end();
    } else say(250, "2.0.0 ok");
  };
  /** @returns whether a whole line or chunk was read */
  const step = (): boolean => {
    if (typeof awaited === "number") {
      if (heard.length < awaited) return false;
      sayHash(take(awaited));
      return true;
    }
    const end = awaited === "data" ? messageEnd(heard) : heard.indexOf("\n") + 1;
    if (end <= 0) return false;
    if (awaited === "data") sayHash(take(end));
    else command(take(end).toString("latin1"));
    return true;
  };
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    heard = heard.length === 0 ? chunk : Buffer.concat([heard, chunk]);
    while (step());
  });
  say(220, "chunked.example ready");
}

/** The end of the message with its final dot, or -1 (RFC 5321 §4.1.1.4). */
function messageEnd(octets: Buffer): number {
  if (octets.subarray(0, 3).equals(Buffer.from(".\r\n"))) return 3;
  const at = octets.indexOf("\r\n.\r\n");
  return at < 0 ? -1 : at + 5;
}

net.createServer({ noDelay: true }, serve).listen(Number(port), address, 1024, () => console.log("ready"));
