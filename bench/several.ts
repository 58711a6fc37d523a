/** One and two processes each of ingress and delivery, with everything else the same. */
import { loadedSide } from "./end-to-end.ts";
import type { BenchOptions } from "./options.ts";
import { type Postern, type PosternOptions, startPostern } from "./peers/postern.ts";
import { type Sink, startSink } from "./peers/sink.ts";
import type { Section } from "./report.ts";
import { type Side, sideBySide } from "./side-by-side.ts";

const load = { name: "", sessions: 100, messages: 10_000, bytes: 4096, reuse: true };
const variants = [
  { name: "two ingress, one delivery", more: { ingress: 1 } },
  { name: "one ingress, two delivery", more: { delivery: 1 } },
  { name: "two of each", more: { ingress: 1, delivery: 1 } },
  { name: "two workers of each", workers: 2 },
];

export async function several(options: BenchOptions): Promise<Section> {
  const section: Section = {
    title: "Several processes of a service",
    about:
      "End to end, 4 KiB, 100 sessions, beside one process of each service. The load programs run on the same cores.",
    rows: [],
  };
  const one = await startSide({});
  try {
    for (const { name, ...processes } of variants) {
      const two = await startSide(processes);
      const count = Math.ceil(load.messages * options.scale);
      const sides: [Side, Side] = [two.side, one.side];
      const warmUp = Math.ceil(count / 5);
      section.rows.push(
        ...(await sideBySide(name, { count, warmUp }, sides, "one of each", undefined, options)),
      );
      await two.stop();
    }
    return section;
  } finally {
    await one.stop();
  }
}

async function startSide(
  processes: Pick<PosternOptions, "more" | "workers">,
): Promise<{ side: Side; stop(): Promise<void> }> {
  const sink: Sink = await startSink();
  const config = { relay: { routes: [{ to: "*", via: `127.0.0.1:${sink.port}` }] } };
  const postern: Postern = await startPostern({ config, ...processes });
  return {
    side: loadedSide(postern, sink, load),
    async stop() {
      await postern.stop();
      await sink.stop();
    },
  };
}
