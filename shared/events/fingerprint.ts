/** Fingerprints of words, from which the index of events is made: 48 bits, so that among millions of words two are hardly ever equal. Pure. */

/** 2^6 characters: 6 bits each. */
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const octets = Uint8Array.from(alphabet, (character) => character.charCodeAt(0));

/** Each 12 bits as two characters. */
const pairs = Array.from({ length: 4096 }, (_, bits) => `${alphabet[bits >>> 6]}${alphabet[bits & 63]}`);

export interface Fingerprint {
  /** Which part of the index has the word. */
  shard: number;
  /** 8 characters. */
  text: string;
}

export function fingerprint(word: string, shards: number): Fingerprint {
  const bits = new Uint32Array(2);
  writeBits(word, bits, 0);
  const [a = 0, b = 0] = bits;
  const text = `${pairs[(a >>> 12) & 0xfff]}${pairs[a & 0xfff]}${pairs[(b >>> 12) & 0xfff]}${pairs[b & 0xfff]}`;
  return { shard: shardOf(a, shards), text };
}

/**
 * Two hashes (FNV-1a with a finish as in MurmurHash3): the index may find too much, and readers look at the event itself.
 * @param at  where the two go
 */
export function writeBits(word: string, bits: Uint32Array, at: number): void {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let index = 0; index < word.length; index++) {
    const code = word.charCodeAt(index);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x5bd1e995);
  }
  bits[at] = mix(a);
  bits[at + 1] = mix(b);
}

/** @param a  the first of the two hashes */
export function shardOf(a: number, shards: number): number {
  return (a >>> 20) % shards;
}

/** The text of a fingerprint, as octets. @returns the index behind it */
export function writeText(a: number, b: number, into: Uint8Array, at: number): number {
  let next = at;
  for (const bits of [a, b])
    for (let shift = 18; shift >= 0; shift -= 6) into[next++] = octets[(bits >>> shift) & 63] ?? 0;
  return next;
}

function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

export function encodeNumber(value: number, characters: number): string {
  let text = "";
  for (let shift = (characters - 1) * 6; shift >= 0; shift -= 6) text += alphabet[(value >>> shift) & 63];
  return text;
}

/** encodeNumber() of two characters, as octets. @returns the index behind it */
export function writePlace(value: number, into: Uint8Array, at: number): number {
  into[at] = octets[(value >>> 6) & 63] ?? 0;
  into[at + 1] = octets[value & 63] ?? 0;
  return at + 2;
}

export function decodeNumber(text: string): number {
  let value = 0;
  for (const character of text) value = value * 64 + alphabet.indexOf(character);
  return value;
}
