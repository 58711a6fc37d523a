/** Changes inputs at random: a few octets, or pieces that mean something, out of place, twice, or too often. Pure. */
import { pick, type Random } from "../../unit/ingress/outgoing/model-dialogue.ts";

/** Where careless arithmetic and careless buffers end. */
const numbers =
  "0 1 -1 7 8 255 256 512 998 1000 2048 4095 4096 4097 65535 65536 2147483647 2147483648 4294967295 4294967296 9007199254740993 99999999999999999999 00 010 0x10 1e9 +1 1.5".split(
    " ",
  );
const odd = [
  "\0",
  "\r",
  "\n",
  "\r\n",
  " ",
  "\t",
  '"',
  "\\",
  "<",
  ">",
  "@",
  ":",
  ";",
  ",",
  "=",
  ".",
  "-",
  "%",
  "[",
  "]",
  "{",
  "}",
  "(",
  ")",
  "*",
  "#",
  "$",
  "\x7f",
  "\x80",
  "\xff",
  "\xc3\xa9",
  "\xe2\x80\xa8",
  "\xf0\x9f\x92\x8c",
  "\xed\xa0\x80",
  "\xef\xbb\xbf",
];

export interface Material {
  words: readonly string[];
  /** Another input, whose pieces fit in here. */
  other: Buffer;
  maxOctets: number;
}

/** One to eight changes. */
export function mutate(input: Buffer, material: Material, random: Random): Buffer {
  let changed = input;
  for (let left = 1 + Math.floor(random() ** 2 * 8); left > 0; left--)
    changed = change(changed, material, random);
  return changed.length > material.maxOctets ? changed.subarray(0, material.maxOctets) : changed;
}

function change(input: Buffer, { words, other, maxOctets }: Material, random: Random): Buffer {
  const at = below(input.length + 1, random);
  const length = 1 + below(random() < 0.8 ? 8 : 1 + input.length - at, random);
  const insert = (piece: Buffer) => Buffer.concat([input.subarray(0, at), piece, input.subarray(at)]);
  const text = (piece: string) => Buffer.from(piece, "latin1");
  switch (below(12, random)) {
    case 0: {
      const copy = Buffer.from(input);
      if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << below(8, random));
      return copy;
    }
    case 1: {
      const copy = Buffer.from(input);
      if (at < copy.length)
        copy[at] = pick(random, [0, 1, 0x0a, 0x0d, 0x20, 0x7f, 0x80, 0xc0, 0xff, below(256, random)]);
      return copy;
    }
    case 2:
      return Buffer.concat([input.subarray(0, at), input.subarray(at + length)]);
    case 3:
      return insert(input.subarray(at, at + length));
    case 4:
      return insert(text(pick(random, odd)));
    case 5:
      return insert(text(pick(random, numbers)));
    case 6:
    case 7:
      return words.length === 0 ? insert(text(pick(random, odd))) : insert(text(pick(random, words)));
    case 8: {
      const start = below(other.length, random);
      return insert(other.subarray(start, start + 1 + below(other.length - start, random)));
    }
    case 9:
      return Buffer.concat([input.subarray(0, at), other.subarray(below(other.length + 1, random))]);
    case 10: {
      const unit =
        random() < 0.5 || words.length === 0 ? input.subarray(at, at + length) : text(pick(random, words));
      const times = Math.min(2 ** below(13, random), Math.floor(maxOctets / Math.max(1, unit.length)));
      return insert(repeated(unit, times));
    }
    default: {
      // A number in the text becomes another one.
      const found = /\d+/.exec(input.toString("latin1", at));
      if (found === null) return input;
      const start = at + found.index;
      return Buffer.concat([
        input.subarray(0, start),
        text(pick(random, numbers)),
        input.subarray(start + found[0].length),
      ]);
    }
  }
}

export function repeated(unit: Buffer, times: number): Buffer {
  return unit.length === 0 || times < 1 ? Buffer.alloc(0) : Buffer.alloc(unit.length * times, unit);
}

export function below(limit: number, random: Random): number {
  return Math.floor(random() * Math.max(1, limit));
}
