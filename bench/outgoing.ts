/**
 * The outgoing proxy beside HAProxy in TCP mode and beside no proxy, with client, gateway and server as network namespaces.
 * The kernel hands the client's connections to one proxy or the other, and both connect from the client's address.
 */
import { fileURLToPath } from "node:url";
import { startHaproxy, toOriginal } from "../test/support/lab/haproxy.ts";
import { posternOn } from "../test/support/lab/lab.ts";
import { addresses, buildNetwork, type LabNetwork } from "../test/support/lab/network.ts";
import type { BenchOptions } from "./options.ts";
import { startPostern } from "./peers/postern.ts";
import { end, run } from "./peers/program.ts";
import { startSink } from "./peers/sink.ts";
import { type CpuSeconds, cpuPerMessage, cpuSeconds, meanCpu } from "./processes.ts";
import type { Row, Section } from "./report.ts";
import { sendLoad } from "./smtp-source.ts";

const ways = ["direct", "haproxy", "postern"] as const;
type Way = (typeof ways)[number];

const listeners = {
  postern: { name: "postern", address: "0.0.0.0", port: 10_025, destination: "tproxy" as const },
  /** The port that HAProxy listens on. */
  haproxy: { name: "haproxy", address: "0.0.0.0", port: 10_030, destination: "tproxy" as const },
};
const server = addresses.internet1.ipv4;
const latencyClient = fileURLToPath(new URL("peers/latency-client.ts", import.meta.url));

export async function outgoing({ rounds, say, scale }: BenchOptions): Promise<Section> {
  const network = buildNetwork();
  try {
    const { client, gateway, internet1 } = network.hosts;
    const sink = await startSink([], { address: server, port: 25, prefix: internet1.prefix });
    const config = { listeners: [listeners.postern], outgoing: { hide: true } };
    const postern = await startPostern({ config, prefix: gateway.prefix });
    const haproxy = await startHaproxy(gateway, network.directory, listeners.haproxy.port, toOriginal);
    const cpuOf: Record<Way, () => CpuSeconds> = {
      direct: () => new Map(),
      haproxy: () => cpuSeconds([{ name: "haproxy", pid: haproxy.pid ?? 0 }]),
      postern: postern.cpu,
    };
    const rows: Row[] = [];
    for (const sessions of [1, 20]) {
      const messages = Math.round((sessions === 1 ? 3000 : 20_000) * scale);
      const load = { sessions, messages, bytes: 4096, reuse: true };
      const name = `4 KiB, ${sessions} session${sessions === 1 ? "" : "s"}`;
      const rates: Record<Way, number[]> = { direct: [], haproxy: [], postern: [] };
      const p50: Record<Way, number[]> = { direct: [], haproxy: [], postern: [] };
      const p99: Record<Way, number[]> = { direct: [], haproxy: [], postern: [] };
      const cpu: Record<Way, Record<string, number>[]> = { direct: [], haproxy: [], postern: [] };
      for (let round = -1; round < rounds; round++) {
        const isWarmUp = round < 0;
        const count = isWarmUp ? Math.ceil(messages / 5) : messages;
        for (const way of ways) {
          await lead(network, way);
          const before = cpuOf[way]();
          const startMs = performance.now();
          await sendLoad(`${server}:25`, { ...load, messages: count }, { prefix: client.prefix });
          const seconds = (performance.now() - startMs) / 1000;
          const used = cpuPerMessage(before, cpuOf[way](), count);
          const times = await latencies(client.prefix, sessions, count);
          if (isWarmUp) continue;
          cpu[way].push(used);
          rates[way].push(count / seconds);
          p50[way].push(quantile(times, 0.5));
          p99[way].push(quantile(times, 0.99));
        }
        if (isWarmUp) continue;
        const at = (values: Record<Way, number[]>, digits: number) =>
          ways.map((way) => `${way} ${values[way].at(-1)?.toFixed(digits)}`).join(", ");
        say(`outgoing proxy, ${name}: msg/s ${at(rates, 0)}; median ms ${at(p50, 3)}; p99 ms ${at(p99, 3)}`);
      }
      rows.push(
        {
          name: `messages a second, ${name}`,
          unit: "msg/s",
          ours: rates.postern,
          theirs: { name: "HAProxy", values: rates.haproxy },
          target: { kind: "ratio-at-least", value: 0.9 },
          cpu: { ours: meanCpu(cpu.postern), theirs: meanCpu(cpu.haproxy) },
        },
        {
          name: `messages a second, ${name}`,
          unit: "msg/s",
          ours: rates.postern,
          theirs: { name: "no proxy", values: rates.direct },
        },
        {
          name: `time of a message at the median, ${name}`,
          unit: "ms",
          ours: p50.postern,
          theirs: { name: "HAProxy", values: p50.haproxy },
          target: { kind: "difference-at-most", value: 0.2 },
        },
        {
          name: `time of a message at the median, ${name}`,
          unit: "ms",
          ours: p50.postern,
          theirs: { name: "no proxy", values: p50.direct },
        },
        {
          name: `time of a message at the 99th percentile, ${name}`,
          unit: "ms",
          ours: p99.postern,
          theirs: { name: "HAProxy", values: p99.haproxy },
        },
      );
    }
    await end(haproxy);
    await postern.stop();
    await sink.stop();
    return {
      title: "The outgoing proxy",
      about:
        "Between network namespaces, intercepted by the kernel (TPROXY), on with the client's own address; smtp-source and " +
        "smtp-sink at the ends, connections kept. Times from a client that sends one message after the other on each connection.",
      rows,
    };
  } finally {
    await network.down();
  }
}

async function lead(network: LabNetwork, way: Way): Promise<void> {
  const config = { outgoing: { hide: true }, listeners: way === "direct" ? [] : [listeners[way]] };
  const words = way === "direct" ? ["intercept", "down"] : ["intercept", "up"];
  const { code, output } = await posternOn(network, config, ...words);
  if (code !== 0) throw new Error(`postern ${words.join(" ")}: ${output}`);
}

async function latencies(prefix: string[], sessions: number, messages: number): Promise<number[]> {
  const [word = "", ...words] = prefix;
  const args = [latencyClient, server, 25, sessions, messages, 4096].map(String);
  return JSON.parse(await run(word, [...words, process.execPath, ...args]));
}

function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
