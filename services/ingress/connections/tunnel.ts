/**
 * Two sockets joined: octets pass both ways with back-pressure, and ends and resets pass too. A tunnel reads nothing by
 * itself; a watcher may sit in between. Owns both sockets from start() on, and closes both.
 */
import type net from "node:net";

/** Sits between the two ends: it reads all octets, and passes them on by sendToServer() and sendToClient(). */
export interface Watcher {
  fromClient(octets: Buffer): void;
  fromServer(octets: Buffer): void;
  /** The client should not be read for now. Asked after each read. */
  readonly isHolding: boolean;
  /** It may answer the client itself; such a client must not be read faster than it reads. */
  readonly mayAnswer: boolean;
  /** @returns true when the watcher decides what the client gets to see */
  serverGone(how: "ended" | "reset"): boolean;
}

/** Which side ended the tunnel, and whether in good order. */
export type TunnelEnd =
  | "client-closed"
  | "server-closed"
  | "client-reset"
  | "server-reset"
  | "idle"
  | "stopped";

export interface TunnelOptions {
  /** `timeouts.tunnel`: how long both sides may be silent. Both have time-outs of their own; this one clears leftovers. */
  idleMs: number;
  watcher?: Watcher;
  ended(how: TunnelEnd): void;
}

/** After one side has closed, or is to close: how long the other may still receive what is on the way. */
const lingerMs = 10_000;

/** One of the two sockets. */
class Side {
  readonly socket: net.Socket;
  /** Its buffer is full: the other side is not read. */
  isFull = false;
  /** It has sent its last octet; a server also when it was reset. */
  hasEnded = false;
  octetsSent = 0;

  constructor(socket: net.Socket) {
    this.socket = socket;
  }

  send(octets: Buffer): void {
    if (!this.socket.writable) return;
    this.octetsSent += octets.length;
    if (!this.socket.write(octets)) this.isFull = true;
  }

  readWhile(isWanted: boolean): void {
    if (isWanted !== this.socket.isPaused()) return;
    if (isWanted) this.socket.resume();
    else this.socket.pause();
  }
}

export class Tunnel {
  readonly #client: Side;
  readonly #server: Side;
  readonly #options: TunnelOptions;
  /** The last reply to the client has been sent; what the server does no longer matters. */
  #isServerDismissed = false;
  /** The first reason to end counts. */
  #how: TunnelEnd | undefined;
  #lingering: NodeJS.Timeout | undefined;
  #openSockets = 2;

  constructor(client: net.Socket, server: net.Socket, options: TunnelOptions) {
    this.#client = new Side(client);
    this.#server = new Side(server);
    this.#options = options;
  }

  /** Octets passed so far. */
  get octetsToServer(): number {
    return this.#server.octetsSent;
  }

  get octetsToClient(): number {
    return this.#client.octetsSent;
  }

  /** Both sockets are connected, neither has been read yet. */
  start(): void {
    const client = this.#client.socket;
    const server = this.#server.socket;
    this.#passOctets();
    this.#passEnds();
    // All that passes either way passes through the client's socket, so its clock is enough.
    client.setTimeout(this.#options.idleMs, () => this.stop("idle"));
    // A socket may have closed before anything listened to it.
    if (client.destroyed || server.destroyed) {
      this.#openSockets = Number(!client.closed) + Number(!server.closed);
      this.stop(client.destroyed ? "client-reset" : "server-reset");
      if (this.#openSockets === 0) this.#finish();
      return;
    }
    client.resume();
    server.resume();
  }

  sendToServer(octets: Buffer): void {
    this.#server.send(octets);
  }

  sendToClient(octets: Buffer): void {
    this.#client.send(octets);
  }

  /** Ends with a last reply to the client, in place of whatever the server may still send. */
  endClient(lastReply: Buffer): void {
    const server = this.#server.socket;
    this.#isServerDismissed = true;
    server.removeAllListeners("data");
    this.sendToClient(lastReply);
    this.#client.socket.end();
    if (!server.destroyed) {
      server.resume();
      server.end();
    }
    this.#linger();
  }

  /** Cuts both connections now. */
  stop(how: TunnelEnd): void {
    this.#how ??= how;
    this.#client.socket.destroy();
    this.#server.socket.destroy();
  }

  /** The watcher no longer holds what it held, though neither side has sent anything since. */
  goOn(): void {
    this.#steerReading();
    if (this.#client.hasEnded) this.#passClientEnd();
  }

  #passOctets(): void {
    const client = this.#client;
    const server = this.#server;
    const { watcher } = this.#options;
    client.socket.on("data", (octets: Buffer) => {
      if (watcher === undefined) server.send(octets);
      else watcher.fromClient(octets);
      this.#steerReading();
    });
    server.socket.on("data", (octets: Buffer) => {
      if (watcher === undefined) client.send(octets);
      else watcher.fromServer(octets);
      this.#steerReading();
      if (client.hasEnded) this.#passClientEnd();
    });
    for (const side of [client, server]) {
      side.socket.on("drain", () => {
        side.isFull = false;
        this.#steerReading();
      });
    }
  }

  #passEnds(): void {
    const client = this.#client.socket;
    const server = this.#server.socket;
    client.on("end", () => {
      this.#client.hasEnded = true;
      this.#how ??= "client-closed";
      this.#passClientEnd();
    });
    client.on("error", () => {
      this.#how ??= "client-reset";
      // A server that saw no end would wait for the rest of a message for minutes.
      server.resetAndDestroy();
    });
    server.on("end", () => this.#serverGone("ended"));
    server.on("error", () => this.#serverGone("reset"));
    client.on("close", () => this.#socketClosed(server));
    server.on("close", () => this.#socketClosed(client));
  }

  #steerReading(): void {
    const { watcher } = this.#options;
    const isClientHeld =
      this.#server.isFull ||
      (watcher !== undefined && (watcher.isHolding || (this.#client.isFull && watcher.mayAnswer)));
    this.#client.readWhile(!isClientHeld);
    this.#server.readWhile(!this.#client.isFull);
  }

  #passClientEnd(): void {
    const { watcher } = this.#options;
    if (watcher?.isHolding || !this.#server.socket.writable) return;
    this.#server.socket.end();
    if (this.#server.hasEnded) this.#linger();
  }

  #serverGone(how: "ended" | "reset"): void {
    this.#how ??= how === "ended" ? "server-closed" : "server-reset";
    if (this.#server.hasEnded || this.#isServerDismissed) return;
    this.#server.hasEnded = true;
    if (this.#options.watcher?.serverGone(how)) return;
    const client = this.#client.socket;
    // What the server sent last must still arrive; where nothing is left to send, a reset passes as a reset.
    if (how === "reset" && client.writableLength === 0) client.resetAndDestroy();
    else {
      client.end();
      this.#linger();
    }
  }

  #linger(): void {
    this.#lingering ??= setTimeout(() => this.stop("server-closed"), lingerMs);
  }

  #socketClosed(other: net.Socket): void {
    if (--this.#openSockets > 0) {
      // Nothing passes any more: the other socket may at most finish what it is writing.
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
