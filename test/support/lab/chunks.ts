/** Writes in pieces of random size that leave one by one, so that what is between two ends meets every cut there is. */
import type net from "node:net";
import { pick, type Random } from "../../unit/ingress/outgoing/model-dialogue.ts";

/** More pieces than that teach nothing new, and cost a system call and a packet each. */
const maxPieces = 6;

/** Cuts at random places: after the first octets, before the last ones, anywhere. */
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

/** Sends what it is given in pieces, in order. The socket must not delay (TCP_NODELAY). */
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

  /** FIN after the last piece. */
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
