/** End to end beside a tuned Postfix of equal durability: from smtp-source through the gateway until smtp-sink has counted all. */
import type { BenchOptions } from "./options.ts";
import { type Postern, type PosternOptions, startPostern } from "./peers/postern.ts";
import { type Postfix, startPostfix } from "./peers/postfix.ts";
import { type Sink, startSink } from "./peers/sink.ts";
import type { Row, Section } from "./report.ts";
import { type Side, sideBySide } from "./side-by-side.ts";
import { type Load, sendLoad } from "./smtp-source.ts";

export interface AimedLoad extends Load {
  /** The ratio to reach; absent for a figure without a target. */
  target?: number;
}

const loads: AimedLoad[] = [
  { name: "4 KiB, 1 session", sessions: 1, messages: 1000, bytes: 4096, reuse: true, target: 1.0 },
  { name: "4 KiB, 20 sessions", sessions: 20, messages: 10_000, bytes: 4096, reuse: true, target: 3.0 },
  { name: "4 KiB, 100 sessions", sessions: 100, messages: 10_000, bytes: 4096, reuse: true, target: 4.0 },
  {
    name: "4 KiB, 20 sessions, a connection each",
    sessions: 20,
    messages: 5000,
    bytes: 4096,
    reuse: false,
    target: 2.0,
  },
  { name: "100 KiB, 20 sessions", sessions: 20, messages: 2000, bytes: 102_400, reuse: true, target: 1.5 },
  { name: "10 MiB, 5 sessions", sessions: 5, messages: 40, bytes: 10_485_760, reuse: true, target: 1.0 },
];

/** Load from smtp-source to a gateway, counted at its sink. */
export function loadedSide(gateway: Postern | Postfix, sink: Sink, load: Load): Side {
  return {
    cpu: () => gateway.cpu(),
    queued: () => gateway.queued(),
    async measure(messages) {
      const before = sink.messages();
      const startMs = performance.now();
      const seconds = () => (performance.now() - startMs) / 1000;
      await sendLoad(`127.0.0.1:${gateway.port}`, { ...load, messages });
      const acceptedSeconds = seconds();
      await sink.untilMessages(before + messages, 120_000);
      return { accepted: messages / acceptedSeconds, endToEnd: messages / seconds() };
    },
  };
}

/** @param only  runs the loads whose name contains this text */
export function endToEnd(options: BenchOptions, only = ""): Promise<Section> {
  return againstPostfix(
    "End to end against Postfix",
    "From smtp-source through the gateway until smtp-sink has counted all; both answer 250 when the message is on " +
      "stable storage.",
    loads.filter(({ name }) => name.includes(only)),
    (via) => ({ relay: { routes: [{ to: "*", via }] } }),
    options,
  );
}

/** @param configFor  Postern's configuration for a sink on that `host:port`; Postfix relays to one of its own */
export async function againstPostfix(
  title: string,
  about: string,
  loads: AimedLoad[],
  configFor: (sink: string) => PosternOptions["config"],
  options: BenchOptions,
): Promise<Section> {
  const [ourSink, theirSink] = [await startSink(), await startSink()];
  const ours = await startPostern({ config: configFor(`127.0.0.1:${ourSink.port}`) });
  const theirs = await startPostfix({ relayhost: `[127.0.0.1]:${theirSink.port}` });
  const rows: Row[] = [];
  try {
    for (const load of loads) {
      const count = Math.ceil(load.messages * options.scale);
      const measured = await sideBySide(
        load.name,
        { count, warmUp: Math.max(load.sessions, Math.ceil(count / 5)) },
        [loadedSide(ours, ourSink, load), loadedSide(theirs, theirSink, load)],
        "Postfix",
        load.target === undefined ? undefined : { kind: "ratio-at-least", value: load.target },
        options,
      );
      rows.push(...measured);
    }
    return { title, about, rows };
  } finally {
    await ours.stop();
    await theirs.stop();
    await ourSink.stop();
    await theirSink.stop();
  }
}
