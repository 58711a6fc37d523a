/** An SMTP server that answers by the script of a test and records what it receives, on plain sockets. The test stops it. */
import net from "node:net";
import tls from "node:tls";
import type { Certificate } from "./certificate.ts";
import { freePort } from "./free-port.ts";

/** Closes the connection in place of a reply, with FIN or RST. */
export const close = { do: "close" } as const;
export const reset = { do: "reset" } as const;
/** Never answers. */
export const hang = { do: "hang" } as const;
/** Never answers, and reads nothing more. */
export const deaf = { do: "deaf" } as const;
/** Answers, then closes the connection. */
export const thenClose = (reply: string) => ({ do: "close", reply }) as const;

/** A reply (`"550 5.1.1 no"`; several lines are joined by "\n", each with its code), or an action in its place. */
export type Answer =
  | string
  | { do: "close"; reply?: string }
  | { do: "reset" }
  | { do: "hang" }
  | { do: "deaf" }
  /** Sends the same octets repeatedly, until the connection ends. */
  | { do: "drip"; octets: string; everyMs: number }
  /** Sends octets unchanged, to cut replies and to break the grammar. */
  | { do: "raw"; octets: string | Buffer };
type Said = Answer | undefined;

/** One answer for each command; `undefined`, or no function, is the usual answer. A promise delays it. */
export interface SmtpScript {
  /** The greeting. @param connection  1 for the first connection, and so on */
  connect?(connection: number): Said | Promise<Said>;
  /** Replaces the whole reply to EHLO. */
  ehlo?(argument: string, connection: number): Said | Promise<Said>;
  helo?(argument: string, connection: number): Said | Promise<Said>;
  starttls?(connection: number): Said | Promise<Said>;
  /** Replaces a challenge of AUTH. @param step  1 for the first */
  challenge?(mechanism: string, step: number): Said | Promise<Said>;
  auth?(mechanism: string, user: string, password: string): Said | Promise<Said>;
  mail?(address: string, parameters: string[], connection: number): Said | Promise<Said>;
  rcpt?(address: string, parameters: string[], connection: number): Said | Promise<Said>;
  data?(connection: number): Said | Promise<Said>;
  /** Called when the first octets after DATA arrive, once for each message. */
  body?(connection: number): Said | Promise<Said>;
  /** The reply to the final dot. */
  message?(message: ReceivedMessage): Said | Promise<Said>;
  rset?(connection: number): Said | Promise<Said>;
  quit?(connection: number): Said | Promise<Said>;
}

export interface ReceivedMessage {
  /** The number of its connection, from 1. */
  connection: number;
  /** The argument of the last EHLO or HELO. */
  helo: string;
  from: string;
  mailParameters: string[];
  /** The accepted recipients only. */
  to: { address: string; parameters: string[] }[];
  /** Without stuffed dots, up to and including the CRLF before the final dot. */
  data: Buffer;
  tls: boolean;
  /** The name that the client asked for in the handshake (SNI). */
  servername?: string;
  /** The authenticated user. */
  user?: string;
  /** The client's address. */
  clientAddress: string;
}

export interface SmtpPeer {
  address: string;
  port: number;
  /** Messages that got a 2xx to their final dot, in order. */
  received: ReceivedMessage[];
  /** Every command line in order, `N: LINE`, N being the connection. AUTH continuation lines too. */
  commands: string[];
  /** Connections accepted so far. */
  readonly connections: number;
  /** Connections open now. */
  readonly open: number;
  /** The largest number of octets received behind a command before it was answered; 0 for a client that does not pipeline. */
  readonly mostUnread: number;
  /** Resets every open connection; the server goes on listening. */
  dropAll(): void;
  stop(): Promise<void>;
}

export interface SmtpPeerOptions {
  /** An address of 127.0.0.0/8; 127.0.0.1 when absent. */
  address?: string;
  port?: number;
  script?: SmtpScript;
  /** EHLO keywords; STARTTLS and AUTH are added by `tls` and `users`. */
  extensions?: string[];
  /** Offers STARTTLS with this certificate. */
  tls?: Certificate & tls.SecureContextOptions & { needsClientCertificate?: boolean };
  /** Offers AUTH PLAIN LOGIN: passwords by name. */
  users?: Record<string, string>;
  authMechanisms?: string;
}

export const usualExtensions = [
  "PIPELINING",
  "SIZE 52428800",
  "8BITMIME",
  "SMTPUTF8",
  "ENHANCEDSTATUSCODES",
  "DSN",
];

export async function startSmtpPeer(options: SmtpPeerOptions = {}): Promise<SmtpPeer> {
  const address = options.address ?? "127.0.0.1";
  const received: ReceivedMessage[] = [];
  const commands: string[] = [];
  const sessions = new Set<Session>();
  const unread = { most: 0 };
  let connections = 0;
  // With Nagle's algorithm, every second of the small writes would wait for an acknowledgement.
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections++;
    const session = new Session(socket, connections, options, { received, commands, unread });
    sessions.add(session);
    socket.on("close", () => sessions.delete(session));
    void session.run();
  });
  // Nobody else answers at its port when it is stopped.
  const port = options.port ?? (await freePort());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, resolve);
  });
  return {
    address,
    port,
    received,
    commands,
    get connections() {
      return connections;
    },
    get open() {
      return sessions.size;
    },
    get mostUnread() {
      return unread.most;
    },
    dropAll() {
      for (const session of sessions) session.reset();
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.reset();
      await closed;
    },
  };
}

/** The records of all sessions of one server. */
interface Ledger {
  received: ReceivedMessage[];
  commands: string[];
  unread: { most: number };
}

class Session {
  readonly #raw: net.Socket;
  #socket: net.Socket;
  readonly #number: number;
  readonly #options: SmtpPeerOptions;
  readonly #script: SmtpScript;
  readonly #ledger: Ledger;
  #buffered: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;
  #helo = "";
  #user: string | undefined;
  #from: { address: string; parameters: string[] } | undefined;
  #to: { address: string; parameters: string[] }[] = [];

  constructor(socket: net.Socket, number: number, options: SmtpPeerOptions, ledger: Ledger) {
    this.#raw = socket;
    this.#socket = socket;
    this.#number = number;
    this.#options = options;
    this.#script = options.script ?? {};
    this.#ledger = ledger;
    this.#listen(socket);
  }

  reset(): void {
    // libuv refuses to reset a socket that is shutting down, and Node then never closes it.
    if (this.#raw.writableEnded) this.#raw.destroy();
    else this.#raw.resetAndDestroy();
  }

  async run(): Promise<void> {
    const n = this.#number;
    if (!(await this.#answer(await this.#script.connect?.(n), "220 peer.test ESMTP"))) return;
    for (;;) {
      const line = await this.#line();
      if (line === undefined) {
        this.#socket.end();
        return;
      }
      this.#ledger.commands.push(`${n}: ${line}`);
      if (!(await this.#command(line))) return;
    }
  }

  /** @returns false when the connection has ended or hangs */
  async #command(line: string): Promise<boolean> {
    const n = this.#number;
    const script = this.#script;
    const [verb = "", ...words] = line.split(" ");
    switch (verb.toUpperCase()) {
      case "EHLO":
        this.#helo = words.join(" ");
        this.#forget();
        return this.#answer(await script.ehlo?.(this.#helo, n), this.#ehloReply());
      case "HELO":
        this.#helo = words.join(" ");
        this.#forget();
        return this.#answer(await script.helo?.(this.#helo, n), "250 peer.test");
      case "STARTTLS": {
        const said = await script.starttls?.(n);
        if (this.#options.tls === undefined && said === undefined)
          return this.#answer("502 5.5.1 no TLS here", "");
        if (!(await this.#answer(said, "220 2.0.0 go ahead"))) return false;
        if (this.#options.tls !== undefined && isGoAhead(said)) this.#startTls();
        return true;
      }
      case "AUTH":
        return this.#auth(words[0] ?? "", words[1]);
      case "MAIL": {
        const { path, parameters } = parsePath(words.join(" "));
        const said = await script.mail?.(path, parameters, n);
        if (isPositive(said)) {
          this.#from = { address: path, parameters };
          this.#to = [];
        }
        return this.#answer(said, "250 2.1.0 ok");
      }
      case "RCPT": {
        if (this.#from === undefined) return this.#answer("503 5.5.1 MAIL first", "");
        const { path, parameters } = parsePath(words.join(" "));
        const said = await script.rcpt?.(path, parameters, n);
        if (isPositive(said)) this.#to.push({ address: path, parameters });
        return this.#answer(said, "250 2.1.5 ok");
      }
      case "DATA":
        return this.#data();
      case "RSET":
        this.#forget();
        return this.#answer(await script.rset?.(n), "250 2.0.0 ok");
      case "NOOP":
        return this.#answer(undefined, "250 2.0.0 ok");
      case "QUIT":
        await this.#answer(await script.quit?.(n), "221 2.0.0 bye");
        this.#socket.end();
        return false;
      default:
        return this.#answer("500 5.5.2 what?", "");
    }
  }

  async #data(): Promise<boolean> {
    if (this.#from === undefined) return this.#answer("503 5.5.1 MAIL first", "");
    const said = await this.#script.data?.(this.#number);
    if (said === undefined && this.#to.length === 0) return this.#answer("554 5.5.1 no valid recipients", "");
    if (!(await this.#answer(said, "354 go on"))) return false;
    if (typeof said === "string" && !said.startsWith("354")) return true;
    if (this.#script.body !== undefined) {
      while (this.#buffered.length === 0 && !this.#ended) await this.#more();
      const interruption = await this.#script.body(this.#number);
      if (interruption !== undefined && !(await this.#answer(interruption, ""))) return false;
    }
    const data = await this.#body();
    if (data === undefined) return false;
    const message: ReceivedMessage = {
      connection: this.#number,
      helo: this.#helo,
      from: this.#from.address,
      mailParameters: this.#from.parameters,
      to: this.#to,
      data,
      tls: this.#socket !== this.#raw,
      ...sniOf(this.#socket),
      ...(this.#user === undefined ? {} : { user: this.#user }),
      clientAddress: this.#raw.remoteAddress ?? "",
    };
    this.#forget();
    const answer = await this.#script.message?.(message);
    if (isPositive(answer)) this.#ledger.received.push(message);
    return this.#answer(answer, "250 2.0.0 queued");
  }

  async #auth(mechanism: string, initial: string | undefined): Promise<boolean> {
    let user = "";
    let password = "";
    if (mechanism.toUpperCase() === "PLAIN") {
      const response = initial ?? (await this.#challenge(""));
      [, user = "", password = ""] = fromBase64(response).split("\0");
    } else if (mechanism.toUpperCase() === "LOGIN") {
      const first = await this.#script.challenge?.(mechanism, 1);
      if (first !== undefined) return this.#answer(first, "");
      user = fromBase64(initial ?? (await this.#challenge("VXNlcm5hbWU6")));
      const second = await this.#script.challenge?.(mechanism, 2);
      if (second !== undefined) return this.#answer(second, "");
      password = fromBase64(await this.#challenge("UGFzc3dvcmQ6"));
    } else return this.#answer("504 5.5.4 mechanism not known", "");
    const right = this.#options.users?.[user] === password;
    const said = await this.#script.auth?.(mechanism, user, password);
    if (said === undefined ? right : isPositive(said)) this.#user = user;
    return this.#answer(said, right ? "235 2.7.0 welcome" : "535 5.7.8 no");
  }

  async #challenge(challenge: string): Promise<string> {
    this.#write(`334 ${challenge}\r\n`);
    const line = (await this.#line()) ?? "";
    this.#ledger.commands.push(`${this.#number}: ${line}`);
    return line;
  }

  #ehloReply(): string {
    const keywords = [...(this.#options.extensions ?? usualExtensions)];
    if (this.#options.tls !== undefined && this.#socket === this.#raw) keywords.push("STARTTLS");
    if (this.#options.users !== undefined)
      keywords.push(`AUTH ${this.#options.authMechanisms ?? "PLAIN LOGIN"}`);
    const lines = ["peer.test at your service", ...keywords];
    return lines.map((line, i) => `250${i === lines.length - 1 ? " " : "-"}${line}`).join("\n");
  }

  #startTls(): void {
    // RFC 3207 §5: discard everything that was received before the handshake.
    this.#buffered = Buffer.alloc(0);
    this.#raw.removeAllListeners("data");
    const secure = new tls.TLSSocket(this.#raw, {
      isServer: true,
      secureContext: tls.createSecureContext(this.#options.tls),
      ...(this.#options.tls?.needsClientCertificate ? { requestCert: true, rejectUnauthorized: true } : {}),
    });
    this.#socket = secure;
    this.#listen(secure);
  }

  #listen(socket: net.Socket): void {
    socket.on("data", (chunk) => {
      this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end).on("close", end).on("error", end);
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  async #line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#buffered.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#buffered.toString("utf8", 0, end);
        this.#buffered = this.#buffered.subarray(end + 2);
        return line;
      }
      if (this.#ended) return undefined;
      await this.#more();
    }
  }

  /** Reads up to CRLF.CRLF and nothing else (RFC 5321 §4.1.1.4). */
  async #body(): Promise<Buffer | undefined> {
    const lines: Buffer[] = [];
    for (;;) {
      let start = 0;
      for (let end = this.#buffered.indexOf("\r\n"); end >= 0; end = this.#buffered.indexOf("\r\n", start)) {
        const line = this.#buffered.subarray(start, end + 2);
        start = end + 2;
        if (line.length === 3 && line[0] === 0x2e) {
          this.#buffered = this.#buffered.subarray(start);
          return Buffer.concat(lines);
        }
        lines.push(line[0] === 0x2e ? line.subarray(1) : line);
      }
      this.#buffered = this.#buffered.subarray(start);
      if (this.#ended) return undefined;
      await this.#more();
    }
  }

  async #answer(said: Said, usual: string): Promise<boolean> {
    const { unread } = this.#ledger;
    unread.most = Math.max(unread.most, this.#buffered.length);
    if (said === undefined || typeof said === "string") {
      this.#write(`${(said ?? usual).replaceAll("\n", "\r\n")}\r\n`);
      return true;
    }
    switch (said.do) {
      case "raw":
        this.#write(said.octets);
        return true;
      case "close":
        if (said.reply === undefined) this.#socket.end();
        else this.#socket.end(`${said.reply.replaceAll("\n", "\r\n")}\r\n`);
        return false;
      case "reset":
        this.#raw.resetAndDestroy();
        return false;
      case "hang":
        return false;
      case "deaf":
        this.#raw.pause();
        return false;
      case "drip": {
        const { octets } = said;
        const timer = setInterval(() => this.#write(octets), said.everyMs);
        this.#raw.once("close", () => clearInterval(timer));
        return false;
      }
    }
  }

  #write(data: string | Buffer): void {
    if (this.#socket.writable) this.#socket.write(data);
  }

  #forget(): void {
    this.#from = undefined;
    this.#to = [];
  }
}

function sniOf(socket: net.Socket): { servername?: string } {
  const name = socket instanceof tls.TLSSocket ? socket.servername : undefined;
  return typeof name === "string" ? { servername: name } : {};
}

function isPositive(said: Said): boolean {
  if (said === undefined) return true;
  if (typeof said === "string") return said.startsWith("2");
  return said.do === "close" && said.reply?.startsWith("2") === true;
}

function isGoAhead(said: Said): boolean {
  if (typeof said !== "object") return said === undefined || said.startsWith("220");
  return said.do === "raw" && said.octets.toString().startsWith("220");
}

/** `FROM:<path> PARAMETER…` or `TO:<path> PARAMETER…` */
function parsePath(argument: string): { path: string; parameters: string[] } {
  const match = /^(?:FROM|TO):\s*<((?:"(?:[^"\\]|\\.)*"|[^>"])*)>\s*(.*)$/i.exec(argument);
  if (match === null) return { path: argument, parameters: [] };
  return { path: match[1] ?? "", parameters: match[2] === "" ? [] : (match[2] ?? "").split(" ") };
}

function fromBase64(text: string): string {
  return Buffer.from(text, "base64").toString("utf8");
}
