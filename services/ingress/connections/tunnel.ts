/**
 * Two sockets joined: octets pass both ways with back-pressure, ends and resets pass too. It reads nothing by itself;
 * a watcher may sit in between. Owns both sockets from start() on, and closes both.
 */
import type net from "node:net";

/** Sits between the two ends; passes octets on by toServer() and toClient(). */
export interface Watcher {
  fromClient(octets: Buffer): void;
  fromServer(octets: Buffer): void;
  /** The client should not be read for now. Asked after everything that was read. */
  readonly isHolding: boolean;
  /** It may answer the client itself; such a client must not be read faster than it reads. */
  readonly mayAnswer: boolean;
  /** The client has sent its last octet, and nothing is held. */
  clientEnded(): void;
  /** @returns true when the watcher takes care of what the client gets to see */
  serverGone(how: "ended" | "reset"): boolean;
}

/** How it ended: by whom, and whether in good order. */
export type TunnelEnd =
  | "client-closed"
  | "server-closed"
  | "client-reset"
  | "server-reset"
  | "idle"
  | "stopped";

export interface TunnelOptions {
  /** `timeouts.tunnel`: neither side has sent anything for so long. Ends have time-outs of their own; this clears leftovers. */
  idleMs: number;
  watcher?: Watcher;
  ended(how: TunnelEnd): void;
}

/** One end has closed, or is told to: so long the other may still take what is on the way. */
const lingerMs = 10_000;

export class Tunnel {
  readonly #client: net.Socket;
  readonly #server: net.Socket;
  readonly #options: TunnelOptions;
  /** The socket takes no more for now: its other side is not read. */
  #clientIsFull = false;
  #serverIsFull = false;
  #clientHasEnded = false;
  #serverHasEnded = false;
  /** The last words to the client are said. */
  #isOver = false;
  #how: TunnelEnd | undefined;
  #lingering: NodeJS.Timeout | undefined;
  #open = 2;
  /** Octets passed so far. */
  octetsToServer = 0;
  octetsToClient = 0;

  constructor(client: net.Socket, server: net.Socket, options: TunnelOptions) {
    this.#client = client;
    this.#server = server;
    this.#options = options;
  }

  /** Both sockets are connected, neither has been read yet. */
  start(): void {
    const client = this.#client;
    const server = this.#server;
    const watcher = this.#options.watcher;
    client.on("data", (octets: Buffer) => {
      if (watcher === undefined) this.toServer(octets);
      else watcher.fromClient(octets);
      this.#steer();
    });
    server.on("data", (octets: Buffer) => {
      if (watcher === undefined) this.toClient(octets);
      else watcher.fromServer(octets);
      this.#steer();
      if (this.#clientHasEnded) this.#passClientEnd();
    });
    client.on("drain", () => {
      this.#clientIsFull = false;
      this.#steer();
    });
    server.on("drain", () => {
      this.#serverIsFull = false;
      this.#steer();
    });
    client.on("end", () => {
      this.#clientHasEnded = true;
      this.#how ??= "client-closed";
      this.#passClientEnd();
    });
    server.on("end", () => this.#serverGone("ended"));
    client.on("error", () => {
      this.#how ??= "client-reset";
      // A server that is told nothing would wait for the rest of a message for minutes.
      server.resetAndDestroy();
    });
    server.on("error", () => this.#serverGone("reset"));
    client.on("close", () => this.#closed(server));
    server.on("close", () => this.#closed(client));
    // All that passes either way passes through the client's socket, so its clock is enough.
    client.setTimeout(this.#options.idleMs, () => this.stop("idle"));
    // Either may have gone while nobody listened.
    if (client.destroyed || server.destroyed) {
      this.#open = Number(!client.closed) + Number(!server.closed);
      this.stop(client.destroyed ? "client-reset" : "server-reset");
      if (this.#open === 0) this.#finish();
      return;
    }
    client.resume();
    server.resume();
  }

  toServer(octets: Buffer): void {
    if (!this.#server.writable) return;
    this.octetsToServer += octets.length;
    if (!this.#server.write(octets)) this.#serverIsFull = true;
  }

  toClient(octets: Buffer): void {
    if (!this.#client.writable) return;
    this.octetsToClient += octets.length;
    if (!this.#client.write(octets)) this.#clientIsFull = true;
  }

  /** The last words to the client, in place of whatever the server may still say; the server's connection ends. */
  endClient(lastWords: Buffer): void {
    this.#isOver = true;
    this.#server.removeAllListeners("data");
    this.toClient(lastWords);
    this.#client.end();
    if (!this.#server.destroyed) {
      this.#server.resume();
      this.#server.end();
    }
    this.#linger();
  }

  /** Cuts both connections now. */
  stop(how: TunnelEnd): void {
    this.#how ??= how;
    this.#client.destroy();
    this.#server.destroy();
  }

  /** What the watcher held has gone on, though neither side has sent anything since. */
  goOn(): void {
    this.#steer();
    if (this.#clientHasEnded) this.#passClientEnd();
  }

  #steer(): void {
    const watcher = this.#options.watcher;
    const isClientHeld =
      this.#serverIsFull ||
      (watcher !== undefined && (watcher.isHolding || (this.#clientIsFull && watcher.mayAnswer)));
    if (isClientHeld !== this.#client.isPaused()) {
      if (isClientHeld) this.#client.pause();
      else this.#client.resume();
    }
    if (this.#clientIsFull !== this.#server.isPaused()) {
      if (this.#clientIsFull) this.#server.pause();
      else this.#server.resume();
    }
  }

  #passClientEnd(): void {
    const watcher = this.#options.watcher;
    if (watcher?.isHolding || !this.#server.writable) return;
    watcher?.clientEnded();
    this.#server.end();
    if (this.#serverHasEnded) this.#linger();
  }

  #serverGone(how: "ended" | "reset"): void {
    this.#how ??= how === "ended" ? "server-closed" : "server-reset";
    if (this.#serverHasEnded || this.#isOver) return;
    this.#serverHasEnded = true;
    if (this.#options.watcher?.serverGone(how)) return;
    // What the server said last must still arrive; without that, a reset is passed as a reset.
    if (how === "reset" && this.#client.writableLength === 0) this.#client.resetAndDestroy();
    else {
      this.#client.end();
      this.#linger();
    }
  }

  #linger(): void {
    this.#lingering ??= setTimeout(() => this.stop("server-closed"), lingerMs);
  }

  #closed(other: net.Socket): void {
    if (--this.#open > 0) {
      // A socket that is closed takes and gives nothing; the other one may at most finish what it is writing.
      if (other.writableEnded || other.writableLength > 0) {
        other.resume();
        other.end();
        this.#linger();
      } else other.destroy();
      return;
    }
    this.#finish();
  }

  #finish(): void {
    clearTimeout(this.#lingering);
    this.#options.ended(this.#how ?? "stopped");
  }
}
