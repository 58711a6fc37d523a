/**
 * What keeping events costs: the same load for two gateways in turn, one of which keeps none (`events.keep: 0`), by CPU time
 * a message. Rates would show it only on a machine that does nothing else.
 */
import { setTimeout as pause } from "node:timers/promises";
import { loadedSide } from "./end-to-end.ts";
import { inlineConfig } from "./inline.ts";
import { mixConfig, mixCount, mixedSide, startMixSink } from "./mix.ts";
import type { BenchOptions } from "./options.ts";
import { type Postern, type PosternOptions, startPostern } from "./peers/postern.ts";
import { startSink } from "./peers/sink.ts";
import { cpuPerMessage, meanCpu } from "./processes.ts";
import type { Row, Section } from "./report.ts";
import type { Side } from "./side-by-side.ts";
import type { Load } from "./smtp-source.ts";

interface Compared<Sink> {
  name: string;
  messages: number;
  startSink(): Promise<Sink>;
  configFor(port: number): PosternOptions["config"];
  side(gateway: Postern, sink: Sink): Side;
}

/** The load of a machine with other work changes by the second: many short turns are compared. */
const turnsOfRound = 4;
/** Events are appended up to half a second after the fact, and messages settled after the server has counted them. */
const afterwardsMs = 1000;

export async function events(options: BenchOptions): Promise<Section> {
  const rows = [
    await compare(loaded("4 KiB, 20 sessions", { sessions: 20, messages: 10_000 }, relayed), options),
    await compare(loaded("4 KiB, 20 sessions, inline", { sessions: 20, messages: 10_000 }, inline), options),
    await compare(loaded("4 KiB, 1 session, inline", { sessions: 1, messages: 2000 }, inline), options),
    await compare(mixed, options),
  ];
  return {
    title: "The price of events",
    about:
      "CPU milliseconds a message of all processes, Redis' too, beside a gateway that keeps no events (`events.keep: 0`); " +
      "the background work of both for the same time is in it.",
    rows,
  };
}

const mixed: Compared<Awaited<ReturnType<typeof startMixSink>>> = {
  name: "50 destinations, 8 % deferred, 2 % refused",
  messages: mixCount,
  startSink: startMixSink,
  configFor: mixConfig,
  side: mixedSide,
};

const relayed = (port: number) => ({ relay: { routes: [{ to: "*", via: `127.0.0.1:${port}` }] } });

const inline = (port: number) => inlineConfig(`127.0.0.1:${port}`);

function loaded(
  name: string,
  load: Pick<Load, "sessions" | "messages">,
  configFor: (port: number) => PosternOptions["config"],
): Compared<Awaited<ReturnType<typeof startSink>>> {
  return {
    name,
    messages: load.messages,
    startSink,
    configFor,
    side: (gateway, sink) => loadedSide(gateway, sink, { name, ...load, bytes: 4096, reuse: true }),
  };
}

async function compare<Sink extends { port: number; stop(): Promise<void> }>(
  { name, messages, startSink, configFor, side }: Compared<Sink>,
  { rounds, scale, say }: BenchOptions,
): Promise<Row> {
  const sinks = [await startSink(), await startSink()] as const;
  const gateways = [
    await startPostern({ config: configFor(sinks[0].port) }),
    await startPostern({ config: { ...configFor(sinks[1].port), events: { keep: 0 } } }),
  ] as const;
  const used: [Record<string, number>[], Record<string, number>[]] = [[], []];
  const sides = [side(gateways[0], sinks[0]), side(gateways[1], sinks[1])] as const;
  const count = Math.ceil((messages * scale) / turnsOfRound);
  try {
    for (const each of sides) await each.measure(count);
    for (let turn = 0; turn < rounds * turnsOfRound; turn++) {
      for (const which of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        const before = sides[which].cpu();
        await sides[which].measure(count);
        await pause(afterwardsMs);
        used[which].push(cpuPerMessage(before, sides[which].cpu(), count));
      }
    }
    const [ours, theirs] = [used[0].map(sumOf), used[1].map(sumOf)];
    say(`${name}: ${ours.map(short).join(" ")} ms, without events ${theirs.map(short).join(" ")}`);
    return {
      name,
      unit: "ms",
      ours,
      theirs: { name: "without events", values: theirs },
      target: { kind: "ratio-at-most", value: 1.03 },
      cpu: { ours: meanCpu(used[0]), theirs: meanCpu(used[1]) },
    };
  } finally {
    for (const each of [...gateways, ...sinks]) await each.stop();
  }
}

function sumOf(used: Record<string, number>): number {
  return Object.values(used).reduce((sum, ms) => sum + ms, 0);
}

function short(ms: number): string {
  return ms.toFixed(2);
}
