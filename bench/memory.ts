/**
 * `npm run bench:memory`: the memory of one ingress process under many clients, as the kernel counts it.
 *   --idle N     connections that have said EHLO and nothing more (5000)
 *   --slow N     senders in the middle of a message, ten octets each ten times a second, for ten seconds (500)
 *   --large N    messages at once (100)
 *   --size MB    of each of them (50)
 * Each client has a descriptor here and one in the ingress: with fewer than that (`ulimit -n`) there are fewer clients.
 */
import { readFileSync } from "node:fs";
import net from "node:net";
import { parseArgs } from "node:util";
import { freePort } from "../test/support/free-port.ts";
import { startRedis } from "../test/support/redis.ts";
import { createServiceProcesses } from "../test/support/service-processes.ts";

const { values } = parseArgs({
  options: {
    idle: { type: "string", default: "5000" },
    slow: { type: "string", default: "500" },
    large: { type: "string", default: "100" },
    size: { type: "string", default: "50" },
  },
});
const mebibyte = 2 ** 20;
/** Descriptors that this process and the ingress need for everything else. */
const spareDescriptors = 200;
const slowForMs = 10_000;

/** Of this process; the ingress inherits it. */
function descriptorLimit(): number {
  const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}

function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  const text = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1024;
}

/** CPU seconds since the start of the process. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

class Client {
  readonly socket: net.Socket;
  #received = "";
  #wake: (() => void) | undefined;
  #drained: (() => void) | undefined;

  constructor(port: number) {
    this.socket = net.connect(port, "127.0.0.1");
    for (const event of ["drain", "close"]) this.socket.on(event, () => this.#drained?.());
    this.socket.on("error", (error) => this.#add(`500 ${error.message}\r\n`));
    this.socket.on("close", () => this.#add("500 closed\r\n"));
    this.socket.on("data", (chunk) => this.#add(chunk.toString("latin1")));
  }

  #add(text: string): void {
    this.#received += text;
    this.#wake?.();
  }

  async reply(): Promise<string> {
    for (;;) {
      const reply = /^(?:\d{3}-.*\r\n)*(\d{3} .*)\r\n/.exec(this.#received);
      if (reply !== null) {
        this.#received = this.#received.slice(reply[0].length);
        return reply[1] ?? "";
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async commands(...lines: string[]): Promise<string> {
    let reply = await this.reply();
    for (const line of lines) {
      this.socket.write(`${line}\r\n`);
      reply = await this.reply();
    }
    return reply;
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.socket.write(chunk)) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }
}

const redis = await startRedis();
const port = await freePort();
const services = createServiceProcesses(
  {
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self", early_talker: 0 }],
    redis: { url: redis.url },
    limits: { connections: 0, clients: { connections: 0 }, message: "200MB" },
    health: { port: 0 },
  },
  // As bin/postern.
  ["--max-semi-space-size=32", "--initial-old-space-size=128", "--external-memory-accounted-in-global-limit"],
);

/** Opens connections a hundred at a time. */
async function open(count: number, ...lines: string[]): Promise<{ clients: Client[]; replies: string[] }> {
  const clients: Client[] = [];
  const replies: string[] = [];
  for (let start = 0; start < count; start += 100) {
    const some = Array.from({ length: Math.min(100, count - start) }, () => new Client(port));
    clients.push(...some);
    replies.push(...(await Promise.all(some.map((client) => client.commands(...lines)))));
  }
  return { clients, replies };
}

const envelope = ["EHLO client.example", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "DATA"];

try {
  const { pid } = await services.start("ingress");
  const most = Math.floor(descriptorLimit() - spareDescriptors);
  const atMost = (wanted: string): number => {
    if (Number(wanted) > most) console.log(`only ${most} clients: ulimit -n is ${descriptorLimit()}`);
    return Math.min(Number(wanted), most);
  };
  const count = (replies: string[], code: string): number =>
    replies.filter((reply) => reply.startsWith(code)).length;
  let peakBytes = 0;
  const sampler = setInterval(() => {
    peakBytes = Math.max(peakBytes, memoryOf(pid, "VmRSS"));
  }, 100);
  const show = (what: string): void => {
    peakBytes = Math.max(peakBytes, memoryOf(pid, "VmRSS"));
    const mib = (bytes: number): string => `${Math.round(bytes / mebibyte)} MiB`;
    console.log(`${what}: ${mib(peakBytes)} at most, ${cpuOf(pid).toFixed(1)} s of CPU so far`);
    peakBytes = 0;
  };
  const closeAll = (clients: Client[]): void => {
    for (const { socket } of clients) socket.destroy();
  };
  show("at the start");

  const idle = await open(atMost(values.idle), "EHLO client.example");
  show(`${count(idle.replies, "250")} idle connections`);
  closeAll(idle.clients);

  const slow = await open(atMost(values.slow), ...envelope);
  const begunMs = performance.now();
  while (performance.now() - begunMs < slowForMs) {
    for (const { socket } of slow.clients) socket.write("Ten octets");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  show(`${count(slow.replies, "354")} slow senders`);
  closeAll(slow.clients);

  const large = await open(atMost(values.large), ...envelope);
  const block = Buffer.from(`${"x".repeat(76)}\r\n`.repeat(840));
  const blocks = Math.ceil((Number(values.size) * mebibyte) / block.length);
  const ends = await Promise.all(
    large.clients.map(async (client) => {
      for (let i = 0; i < blocks; i++) await client.write(block);
      client.socket.write(".\r\n");
      return client.reply();
    }),
  );
  show(`${count(ends, "250")} messages of ${values.size} MB at once`);
  const others = ends.filter((reply) => !reply.startsWith("250"));
  if (others.length > 0) console.log(`  the others: ${[...new Set(others)].join("; ")}`);
  closeAll(large.clients);
  clearInterval(sampler);
} finally {
  await services.close();
  await redis.close();
}
