/** Inline delivery to a protected server, while the client waits, against Postfix that relays to the same kind of server. */
import { loadedSide } from "./end-to-end.ts";
import type { BenchOptions } from "./options.ts";
import { startPostern } from "./peers/postern.ts";
import { startPostfix } from "./peers/postfix.ts";
import { startSink } from "./peers/sink.ts";
import type { Section } from "./report.ts";
import { sideBySide } from "./side-by-side.ts";

const loads = [
  { sessions: 1, messages: 1000 },
  { sessions: 20, messages: 10_000, target: 4.0 },
];

export async function inline(options: BenchOptions): Promise<Section> {
  const [ourSink, theirSink] = [await startSink(), await startSink()];
  const ours = await startPostern({
    config: {
      protected: [{ domains: ["example.com"], servers: [`127.0.0.1:${ourSink.port}`], inline: true }],
    },
  });
  const theirs = await startPostfix({ relayhost: `[127.0.0.1]:${theirSink.port}` });
  const section: Section = {
    title: "Inline delivery against Postfix",
    about:
      "To a protected server with `inline: true`: its 250 is the client's. Postfix queues and relays, as in the table above.",
    rows: [],
  };
  try {
    for (const { sessions, messages, target } of loads) {
      const name = `4 KiB, ${sessions} session${sessions === 1 ? "" : "s"}, inline`;
      const load = { name, sessions, messages, bytes: 4096, reuse: true };
      const count = Math.ceil(messages * options.scale);
      const rows = await sideBySide(
        name,
        { count, warmUp: Math.max(sessions, Math.ceil(count / 5)) },
        [loadedSide(ours, ourSink, load), loadedSide(theirs, theirSink, load)],
        "Postfix",
        target === undefined ? undefined : { kind: "ratio-at-least", value: target },
        options,
      );
      section.rows.push(...rows);
    }
    return section;
  } finally {
    await ours.stop();
    await theirs.stop();
    await ourSink.stop();
    await theirSink.stop();
  }
}
