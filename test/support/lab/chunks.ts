/** Sends data in pieces of random size, so that the gateway in between receives it cut at any place. */
import type net from "node:net";
import { pick, type Random } from "../../unit/ingress/outgoing/model-dialogue.ts";

/** Each piece costs a system call and a packet; more of them find nothing new. */
const maxPieces = 6;

/** Cuts data at random: after its first octets, before its last ones, or anywhere. */
export function cut(octets: Buffer, random: Random): Buffer[] {
  const places = Array.from({ length: Math.floor(random() * maxPieces) }, () =>
    pick(random, [
      Math.floor(random() * 4),
      octets.length - Math.floor(random() * 6),
      octets.length * random(),
    ]),
  ).map((place) => Math.max(0, Math.min(octets.length, Math.floor(place))));
  const ends = [...places.sort((a, b) => a - b), octets.length];
  return ends
    .map((end, index) => octets.subarray(ends[index - 1] ?? 0, end))
    .filter((piece) => piece.length > 0);
}

/** Sends data in pieces, in order. The socket must have TCP_NODELAY set. */
export class ChunkedWriter {
  readonly #socket: net.Socket;
  readonly #random: Random;
  #pieces: Buffer[] = [];
  #isEnding = false;

  constructor(socket: net.Socket, random: Random) {
    this.#socket = socket;
    this.#random = random;
  }

  write(octets: Buffer): void {
    const wasIdle = this.#pieces.length === 0;
    this.#pieces.push(...cut(octets, this.#random));
    if (wasIdle) this.#next();
  }

  /** Sends FIN after the last piece. */
  end(): void {
    this.#isEnding = true;
    if (this.#pieces.length === 0) this.#socket.end();
  }

  #next(): void {
    const piece = this.#pieces[0];
    if (piece === undefined) {
      if (this.#isEnding) this.#socket.end();
      return;
    }
    this.#socket.write(piece);
    setImmediate(() => {
      this.#pieces.shift();
      this.#next();
    });
  }
}
