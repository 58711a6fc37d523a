/** Queue ids as three words of 32 bits (pure): 18 digits of 5 bits, and whether there is a 19th, with its value. */
import { queueIdDigits } from "../mail/queue-id.ts";

export const wordsPerId = 3;
const digitsPerWord = 6;
const digits = wordsPerId * digitsPerWord;
/** In the 6 bits that the digits leave. */
const hasShard = 32;

const values = new Int8Array(128).fill(-1);
for (let value = 0; value < queueIdDigits.length; value++) values[queueIdDigits.charCodeAt(value)] = value;

function valueAt(id: string, position: number): number {
  return values[id.charCodeAt(position)] ?? -1;
}

/** @returns false when it is no queue id; what was written means nothing then */
export function packId(id: string, words: Uint32Array, at: number): boolean {
  if (id.length !== digits && id.length !== digits + 1) return false;
  const shard = id.length === digits ? 0 : valueAt(id, digits);
  if (shard < 0) return false;
  const extra = id.length === digits ? 0 : shard | hasShard;
  for (let word = 0; word < wordsPerId; word++) {
    let value = (extra >>> (word * 2)) & 3;
    for (let i = 0; i < digitsPerWord; i++) {
      const digit = valueAt(id, word * digitsPerWord + i);
      if (digit < 0) return false;
      value = (value << 5) | digit;
    }
    words[at + word] = value;
  }
  return true;
}

const text = Buffer.alloc(digits + 1);

export function unpackId(words: Uint32Array, at: number): string {
  let extra = 0;
  for (let word = wordsPerId - 1; word >= 0; word--) {
    let value = words[at + word] ?? 0;
    for (let i = digitsPerWord - 1; i >= 0; i--) {
      text[word * digitsPerWord + i] = queueIdDigits.charCodeAt(value & 31);
      value >>>= 5;
    }
    extra = (extra << 2) | value;
  }
  if ((extra & hasShard) === 0) return text.toString("latin1", 0, digits);
  text[digits] = queueIdDigits.charCodeAt(extra & 31);
  return text.toString("latin1", 0, digits + 1);
}
