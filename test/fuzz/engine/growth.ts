/**
 * Looks for inputs whose time grows faster than their length: something is repeated, and what takes four times as long for
 * twice the octets is found. It measures, so it is for `npm run fuzz` only; a test would fail on a busy machine.
 */
import { pick, type Random } from "../../unit/ingress/outgoing/model-dialogue.ts";
import { below, repeated } from "./mutate.ts";

export interface Slow {
  what: string;
  input: Buffer;
}

/** Less is not worth a report, whatever the shape of the curve. */
const worthMs = 60;
/** Four times the octets take 4 times as long when the time is linear, and 16 times when it is quadratic. */
const suspicious = 9;

export async function findSlow(
  pool: readonly Buffer[],
  words: readonly string[],
  maxOctets: number,
  random: Random,
  forMs: number,
  run: (input: Buffer) => Promise<void>,
): Promise<Slow | undefined> {
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs) {
    const parent = pool[below(pool.length, random)] ?? Buffer.alloc(0);
    const at = below(parent.length + 1, random);
    const unit =
      random() < 0.5 || words.length === 0
        ? parent.subarray(at, at + 1 + below(6, random))
        : Buffer.from(pick(random, words), "latin1");
    if (unit.length === 0) continue;
    const behind =
      random() < 0.5 ? parent.subarray(at) : Buffer.from(pick(random, ["\0", "!", "\r\n", "x"]), "latin1");
    const of = (length: number) =>
      Buffer.concat([parent.subarray(0, at), repeated(unit, Math.floor(length / unit.length)), behind]);
    const largest = Math.min(maxOctets, 2 ** 18);
    if ((await cpuMs(of(largest / 4), run)) < worthMs / 20) continue;
    const [short, long] = [await cpuMs(of(largest / 4), run), await cpuMs(of(largest), run)];
    if (long < worthMs || long / short < suspicious) continue;
    // Once more: it may have been the garbage collection.
    const again = (await cpuMs(of(largest), run)) / (await cpuMs(of(largest / 4), run));
    if (again < suspicious) continue;
    const what = `time grows faster than the input: ${largest / 4} octets ${short.toFixed(1)} ms, ${largest} octets ${long.toFixed(1)} ms`;
    return { what, input: of(largest) };
  }
  return undefined;
}

async function cpuMs(input: Buffer, run: (input: Buffer) => Promise<void>): Promise<number> {
  const before = process.threadCpuUsage();
  await run(input);
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
