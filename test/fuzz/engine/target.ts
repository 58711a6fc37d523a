/** What is fuzzed: a parser of strangers' octets, and what must hold of it whatever they are. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { IRawProperty } from "fast-check";
import { type Random, seeded } from "../../unit/ingress/outgoing/model-dialogue.ts";

export interface Target {
  /** What it reads, and from whom: one line. */
  about: string;
  /** The most octets that the product gives to it. */
  maxOctets: number;
  /** How much longer than for most targets one input takes: a short run takes so many fewer. */
  cost?: number;
  /** Throws when a property does not hold. Errors that the parser declares are caught in here. */
  check(input: Buffer): void | Promise<void>;
  /** Inputs to begin with, beside those of the corpus. */
  seeds: readonly (string | Buffer)[];
  /** Pieces that mean something to the parser. */
  words?: readonly string[];
  /** Makes a changed input whole again where it needs more than octets, such as a checksum. Half of the inputs go through it. */
  repair?(input: Buffer): Buffer;
  /** Of the long inputs: a mebibyte where this is absent. What has quadratic time takes hours for it. */
  longOctets?: number;
  /** Inputs that are long in one place: what comes before, what is repeated, what comes behind. */
  long?: readonly (readonly [string, string, string])[];
  /** Made from a grammar, with an oracle or a round trip. Each has one sentence for a name. */
  properties?: Record<string, IRawProperty<unknown>>;
}

/** Latin-1, so that each character is an octet. */
export function octets(text: string | Buffer): Buffer {
  return typeof text === "string" ? Buffer.from(text, "latin1") : text;
}

/** Random numbers that depend on the input alone: an input that fails fails again. */
export function randomOf(input: Buffer): Random {
  return seeded(createHash("sha1").update(input).digest().readUInt32LE());
}

/** The input in pieces, as a network delivers it. Each piece is a copy: readers may change what they get. */
export function piecesOf(input: Buffer, random: Random = randomOf(input)): Buffer[] {
  const longest = [1, 2, 7, 100, 5000][Math.floor(random() * 5)] ?? 1;
  // A long input in single octets would only measure the loop.
  const atLeast = Math.ceil(input.length / 5000);
  const pieces: Buffer[] = [];
  for (let at = 0; at < input.length; ) {
    const end = at + atLeast + Math.floor(random() * longest);
    pieces.push(Buffer.from(input.subarray(at, end)));
    at = end;
  }
  return pieces;
}

/** The input cut at the first NUL into a parameter and the rest. */
export function splitAtNul(input: Buffer): [Buffer, Buffer] {
  const at = input.indexOf(0);
  return at < 0 ? [input.subarray(0, 0), input] : [input.subarray(0, at), input.subarray(at + 1)];
}

/** Neither C0 nor DEL: nothing that would break a line of a reply, a log or a header. */
export function mustBeOneLine(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  assert.doesNotMatch(text, /[\x00-\x1f\x7f\u2028\u2029]/);
}
