/**
 * `node latency-client.ts HOST PORT SESSIONS MESSAGES BYTES`: measures each message from MAIL to the reply to its final dot,
 * on connections that stay open, and prints the milliseconds as a JSON array. smtp-source does not report the time of single
 * messages; this client sends the same commands, one at a time.
 */
import net from "node:net";

const [host = "", port = 0, sessions = 1, messages = 0, bytes = 0] = process.argv
  .slice(2)
  .map((word, index) => (index === 0 ? word : Number(word))) as [string, number, number, number, number];

const body = Buffer.from(
  `Subject: load\r\n\r\n${`${"x".repeat(78)}\r\n`.repeat(Math.ceil(bytes / 80))}.\r\n`,
);
const steps = [
  Buffer.from("MAIL FROM:<sender@bench.example.net>\r\n"),
  Buffer.from("RCPT TO:<recipient@example.com>\r\n"),
  Buffer.from("DATA\r\n"),
  body,
];
const times: number[] = [];
let left = messages;

function session(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, noDelay: true });
    /** The step that is waiting for its reply: -2 the greeting, -1 HELO. */
    let step = -2;
    let startedMs = 0;
    socket.on("data", (chunk) => {
      // Each reply is one line, and the next command waits for it. The reply to QUIT is the last.
      if (socket.writableEnded || chunk.at(-1) !== 0x0a) return;
      if (chunk[0] !== 0x32 && chunk[0] !== 0x33) {
        socket.destroy();
        reject(new Error(`refused: ${chunk.toString("latin1").trim()}`));
        return;
      }
      step++;
      if (step === -1) {
        socket.write("HELO client.bench.example.net\r\n");
        return;
      }
      if (step === steps.length) {
        times.push(performance.now() - startedMs);
        step = 0;
      }
      if (step === 0) {
        if (left === 0) {
          socket.end("QUIT\r\n");
          return;
        }
        left--;
        startedMs = performance.now();
      }
      socket.write(steps[step] as Buffer);
    });
    socket.on("error", reject);
    socket.on("close", () => resolve());
  });
}

await Promise.all(Array.from({ length: sessions }, session));
if (times.length !== messages) throw new Error(`${times.length} of ${messages} messages were sent`);
process.stdout.write(`${JSON.stringify(times.map((ms) => Math.round(ms * 1000) / 1000))}\n`);
