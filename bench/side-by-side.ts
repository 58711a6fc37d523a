/** Postern and Postfix under the same load, A B A B …, after one warm-up of each. */
import type { BenchOptions } from "./options.ts";
import { type CpuSeconds, cpuPerMessage, meanCpu } from "./processes.ts";
import type { Row, Target } from "./report.ts";

export interface Figures {
  /** Messages per second until the client had its last 250. */
  accepted: number;
  /** Messages per second until the sink had counted all. */
  endToEnd: number;
}

/** One of the two gateways, with its load and its sink. */
export interface Side {
  cpu(): CpuSeconds;
  /** Sends so many messages and waits until the sink has them. @throws Error when one does not arrive */
  measure(messages: number): Promise<Figures>;
  /** The queue as text, for error messages. */
  queued(): Promise<string>;
}

/** @returns a row for end to end, and one for acceptance */
export async function sideBySide(
  name: string,
  messages: { count: number; warmUp: number },
  [ours, theirs]: [Side, Side],
  peer: string,
  target: Target | undefined,
  { rounds, say }: BenchOptions,
): Promise<Row[]> {
  const figures: Record<"ours" | "theirs", Figures[]> = { ours: [], theirs: [] };
  const cpu: Record<"ours" | "theirs", Record<string, number>[]> = { ours: [], theirs: [] };
  const sides = [["ours", ours] as const, ["theirs", theirs] as const];
  const measure = (which: "ours" | "theirs", side: Side, count: number): Promise<Figures> =>
    side.measure(count).catch(async (cause: Error) => {
      const queued = await side.queued().catch((error: Error) => error.message);
      const whose = which === "ours" ? "Postern" : peer;
      throw new Error(`${name}: ${whose}: ${cause.message}; in its queue:\n${queued.slice(0, 4000)}`, {
        cause,
      });
    });
  for (const [which, side] of sides) await measure(which, side, messages.warmUp);
  for (let round = 0; round < rounds; round++) {
    for (const [which, side] of sides) {
      const before = side.cpu();
      figures[which].push(await measure(which, side, messages.count));
      cpu[which].push(cpuPerMessage(before, side.cpu(), messages.count));
    }
    const [a, b] = [figures.ours.at(-1), figures.theirs.at(-1)];
    const text = (figure: number | undefined) => Math.round(figure ?? Number.NaN);
    say(
      `${name}: ${text(a?.endToEnd)} against ${text(b?.endToEnd)} msg/s (accepted ${text(a?.accepted)} against ${text(b?.accepted)})`,
    );
  }
  const row = (figure: keyof Figures) => ({
    unit: "msg/s",
    ours: figures.ours.map((value) => value[figure]),
    theirs: { name: peer, values: figures.theirs.map((value) => value[figure]) },
  });
  return [
    {
      name: `end to end: ${name}`,
      ...row("endToEnd"),
      ...(target === undefined ? {} : { target }),
      cpu: { ours: meanCpu(cpu.ours), theirs: meanCpu(cpu.theirs) },
    },
    { name: `accepted: ${name}`, ...row("accepted") },
  ];
}
