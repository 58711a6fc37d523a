/** End to end against tuned Postfix at equal durability: from smtp-source through the gateway until smtp-sink has counted all. */
import { startPostern } from "./peers/postern.ts";
import { startPostfix } from "./peers/postfix.ts";
import { run } from "./peers/program.ts";
import { startSink } from "./peers/sink.ts";
import type { Row } from "./report.ts";

export interface Load {
  name: string;
  sessions: number;
  messages: number;
  bytes: number;
  /** Many messages on one connection, or a connection for each. */
  reuse: boolean;
  target: number;
}

export const loads: Load[] = [
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

interface Figures {
  /** Messages per second until the client had its last 250. */
  accepted: number;
  /** Messages per second until the sink had counted all. */
  endToEnd: number;
}

export async function measure(
  port: number,
  sink: { messages(): number; untilMessages(n: number, ms: number): Promise<void> },
  load: Load,
  messages: number,
): Promise<Figures> {
  const before = sink.messages();
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  await run("smtp-source", [
    ...(load.reuse ? ["-d"] : []),
    ...["-s", String(load.sessions), "-m", String(messages), "-l", String(load.bytes)],
    ...["-f", "sender@bench.example.net", "-t", "recipient@example.com", `127.0.0.1:${port}`],
  ]);
  const acceptedSeconds = seconds();
  await sink.untilMessages(before + messages, 120_000);
  return { accepted: messages / acceptedSeconds, endToEnd: messages / seconds() };
}

/** A B A B …, after one warm-up of each; every side keeps its process and its sink for all rounds. */
export async function endToEnd(rounds: number, chosen: Load[], say: (line: string) => void): Promise<Row[]> {
  const [ourSink, theirSink] = [await startSink(), await startSink()];
  const ours = await startPostern(`127.0.0.1:${ourSink.port}`);
  const theirs = await startPostfix(theirSink.port);
  try {
    const rows: Row[] = [];
    for (const load of chosen) {
      const endToEnd: Row = {
        name: `end to end: ${load.name}`,
        unit: "msg/s",
        pairs: [],
        target: load.target,
      };
      const accepted: Row = { name: `accepted: ${load.name}`, unit: "msg/s", pairs: [] };
      const warm = Math.max(load.sessions, Math.ceil(load.messages / 5));
      await measure(ours.port, ourSink, load, warm);
      await measure(theirs.port, theirSink, load, warm);
      for (let round = 0; round < rounds; round++) {
        const a = await measure(ours.port, ourSink, load, load.messages);
        const b = await measure(theirs.port, theirSink, load, load.messages);
        endToEnd.pairs.push({ ours: a.endToEnd, theirs: b.endToEnd });
        accepted.pairs.push({ ours: a.accepted, theirs: b.accepted });
        say(
          `${load.name}: ${Math.round(a.endToEnd)} against ${Math.round(b.endToEnd)} msg/s (accepted ${Math.round(a.accepted)} against ${Math.round(b.accepted)})`,
        );
      }
      rows.push(endToEnd, accepted);
    }
    return rows;
  } finally {
    await ours.stop();
    await theirs.stop();
    await ourSink.stop();
    await theirSink.stop();
  }
}
