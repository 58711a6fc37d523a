/**
 * A realistic mix beside Postfix: 50 destinations; of every hundred recipients 8 are deferred with 450 and accepted at the
 * next attempt, and 2 are refused with 550, whose DSNs are delivered to the sender.
 */
import type { BenchOptions } from "./options.ts";
import { type Postern, type PosternOptions, startPostern } from "./peers/postern.ts";
import { type Postfix, startPostfix } from "./peers/postfix.ts";
import { type ScriptedSink, startScriptedSink } from "./peers/scripted-sink.ts";
import type { Section } from "./report.ts";
import { type Side, sideBySide } from "./side-by-side.ts";
import { sendLoad } from "./smtp-source.ts";

const domains = Array.from({ length: 50 }, (_, n) => ({
  domain: `d${n}.example`,
  address: `127.0.1.${n + 1}`,
}));
const messagesForEach = 300;

export const mixCount = messagesForEach * domains.length;

/** The servers of all destinations, and that of the senders. */
export function startMixSink(): Promise<ScriptedSink> {
  return startScriptedSink({
    addresses: ["127.0.0.1", ...domains.map(({ address }) => address)],
    deferredPercent: 8,
    refusedPercent: 2,
  });
}

/** @param port  of the servers */
export function mixConfig(port: number): PosternOptions["config"] {
  const toEach = domains.map(({ domain, address }) => ({ to: `*@${domain}`, via: `${address}:${port}` }));
  return {
    relay: { routes: [...toEach, { to: "*", via: `127.0.0.1:${port}` }] },
    queue: { retry: ["1s"] },
  };
}

export async function mix(options: BenchOptions): Promise<Section> {
  const [ourSink, theirSink] = [await startMixSink(), await startMixSink()];
  const ours = await startPostern({ config: mixConfig(ourSink.port) });
  const theirs = await startPostfix({
    relayhost: `[127.0.0.1]:${theirSink.port}`,
    transports: domains.map(({ domain, address }) => `${domain} smtp:[${address}]:${theirSink.port}`),
  });
  try {
    const rows = await sideBySide(
      "50 destinations, 8 % deferred, 2 % refused",
      { count: Math.ceil(mixCount * options.scale), warmUp: Math.ceil((mixCount * options.scale) / 5) },
      [mixedSide(ours, ourSink), mixedSide(theirs, theirSink)],
      "Postfix",
      { kind: "ratio-at-least", value: 2.5 },
      options,
    );
    return {
      title: "A realistic mix against Postfix",
      about:
        "50 sessions, one to each of 50 destination domains, each message to one recipient; 4 KiB. Until every message is " +
        "delivered or its DSN is. Both try again after a second.",
      rows,
    };
  } finally {
    await ours.stop();
    await theirs.stop();
    await ourSink.stop();
    await theirSink.stop();
  }
}

/** Messages to all destinations in equal parts, so that a few more may be sent than were asked for. */
export function mixedSide(gateway: Postern | Postfix, sink: ScriptedSink): Side {
  return {
    cpu: () => gateway.cpu(),
    queued: () => gateway.queued(),
    async measure(messages) {
      const forEach = Math.ceil(messages / domains.length);
      const all = forEach * domains.length;
      const before = sink.counts().messages;
      const startMs = performance.now();
      const seconds = () => (performance.now() - startMs) / 1000;
      const load = { sessions: 1, messages: forEach, bytes: 4096, reuse: true };
      const target = `127.0.0.1:${gateway.port}`;
      await Promise.all(
        domains.map(({ domain }) => sendLoad(target, load, { recipient: `user@${domain}`, extra: ["-N"] })),
      );
      const acceptedSeconds = seconds();
      // A refused message becomes a DSN: as many messages arrive as were sent.
      await sink.untilMessages(before + all, 180_000);
      return { accepted: all / acceptedSeconds, endToEnd: all / seconds() };
    },
  };
}
