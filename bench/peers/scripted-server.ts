/**
 * An SMTP server that defers and refuses as a script says, which smtp-sink cannot: `node scripted-server.ts JSON`, with a
 * Script as JSON, started by fork(). It sends its counts to its parent ten times a second. Fast rather than complete: its
 * clients are the gateways under measurement.
 */
import net from "node:net";

export interface Script {
  addresses: string[];
  port: number;
  /** The delay before the reply to each final dot. */
  delayMs: number;
  /** How many of a hundred numbered recipients (`17name@…`) are deferred with 450 every other time. */
  deferredPercent: number;
  /** How many of them are refused with 550. */
  refusedPercent: number;
}

export interface Counts {
  /** Accepted messages. */
  messages: number;
  deferred: number;
  refused: number;
}

const script = JSON.parse(process.argv[2] ?? "{}") as Script;
const counts: Counts = { messages: 0, deferred: 0, refused: 0 };
/** Recipients that were deferred, and are accepted next time. */
const deferred = new Set<string>();

const ok = Buffer.from("250 2.0.0 Ok\r\n");
const replies: Record<string, Buffer> = {
  EHLO: Buffer.from(
    "250-sink.bench.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n",
  ),
  HELO: Buffer.from("250 sink.bench.example.net\r\n"),
  DATA: Buffer.from("354 Go ahead\r\n"),
  QUIT: Buffer.from("221 2.0.0 Bye\r\n"),
};
const later = Buffer.from("450 4.2.0 Come again later\r\n");
const never = Buffer.from("550 5.1.1 No such user\r\n");

function replyToRcpt(recipient: string): Buffer {
  const number = Number.parseInt(/^rcpt to:<(\d+)/i.exec(recipient)?.[1] ?? "99", 10) % 100;
  if (number < script.refusedPercent) {
    counts.refused++;
    return never;
  }
  if (number < script.refusedPercent + script.deferredPercent && !deferred.delete(recipient)) {
    deferred.add(recipient);
    counts.deferred++;
    return later;
  }
  return ok;
}

const endOfData = "\r\n.\r\n";

function serve(socket: net.Socket): void {
  let pending = "";
  let isData = false;
  let recipients = 0;
  socket.write("220 sink.bench.example.net ESMTP\r\n");
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    pending += chunk.toString("latin1");
    const out: Buffer[] = [];
    for (;;) {
      if (isData) {
        const end = pending.indexOf(endOfData);
        if (end < 0) {
          pending = pending.slice(-(endOfData.length - 1));
          break;
        }
        pending = pending.slice(end + endOfData.length);
        isData = false;
        counts.messages++;
        if (script.delayMs > 0) setTimeout(() => socket.write(ok), script.delayMs);
        else out.push(ok);
        continue;
      }
      const lineEnd = pending.indexOf("\r\n");
      if (lineEnd < 0) break;
      const line = pending.slice(0, lineEnd);
      const verb = line.slice(0, 4).toUpperCase();
      pending = pending.slice(lineEnd + 2);
      if (verb === "RCPT") {
        const reply = replyToRcpt(line);
        if (reply === ok) recipients++;
        out.push(reply);
        continue;
      }
      if (verb === "MAIL") recipients = 0;
      if (verb === "DATA" && recipients === 0) {
        out.push(Buffer.from("554 5.5.1 No valid recipients\r\n"));
        continue;
      }
      isData = verb === "DATA";
      // The end of data begins with the line end before the dot.
      if (isData) pending = `\r\n${pending}`;
      out.push(replies[verb] ?? ok);
      if (verb === "QUIT") {
        socket.end(Buffer.concat(out));
        return;
      }
    }
    if (out.length > 0) socket.write(out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out));
  });
}

const servers = script.addresses.map((address) =>
  net.createServer({ noDelay: true }, serve).listen(script.port, address),
);
await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
setInterval(() => process.send?.(counts), 100);
process.send?.(counts);
process.on("disconnect", () => process.exit(0));
