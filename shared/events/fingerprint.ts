/** Fingerprints of words, from which the index of events is made: 48 bits, so that among millions of words two are hardly ever equal. Pure. */

/** 2^6 characters: 6 bits each. */
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Each 12 bits as two characters. */
const pairs = Array.from({ length: 4096 }, (_, bits) => `${alphabet[bits >>> 6]}${alphabet[bits & 63]}`);

export interface Fingerprint {
  /** Which part of the index has the word. */
  shard: number;
  /** 8 characters. */
  text: string;
}

/** Two hashes (FNV-1a with a finish as in MurmurHash3): the index may find too much, and readers look at the event itself. */
export function fingerprint(word: string, shards: number): Fingerprint {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let index = 0; index < word.length; index++) {
    const code = word.charCodeAt(index);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x5bd1e995);
  }
  a = mix(a);
  b = mix(b);
  const text = `${pairs[(a >>> 12) & 0xfff]}${pairs[a & 0xfff]}${pairs[(b >>> 12) & 0xfff]}${pairs[b & 0xfff]}`;
  return { shard: (a >>> 20) % shards, text };
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

export function decodeNumber(text: string): number {
  let value = 0;
  for (const character of text) value = value * 64 + alphabet.indexOf(character);
  return value;
}
