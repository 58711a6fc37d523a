/**
 * Two whole gateways on two hosts that share nothing but a Redis and a store, beside one; and one with a store beside one with a
 * disk. The hosts are network namespaces of one machine, so that they share its processors: what carries over to machines is
 * the processor time for a message, not the messages a second.
 */
import { addresses, buildNetwork, type LabNetwork } from "../test/support/lab/network.ts";
import type { BenchOptions } from "./options.ts";
import { type Postern, startPostern } from "./peers/postern.ts";
import { startSharedRedis, startSharedStore } from "./peers/shared-host.ts";
import { startSink } from "./peers/sink.ts";
import type { StoreRequests } from "./peers/store-server.ts";
import { cpuSeconds } from "./processes.ts";
import type { Row, Section } from "./report.ts";
import { type Side, sideBySide } from "./side-by-side.ts";
import { sendLoad } from "./smtp-source.ts";

/** `sessions` is of each host, so that a host has as much to put into one object, however many there are. */
const load = { sessions: 100, messages: 10_000, bytes: 4096, reuse: true };
const smtpPort = 2525;
/** The gateways' hosts. The one in the middle of the lab has Redis, the store, the client and the server that gets the mail. */
const hostNames = ["internet1", "internet2"] as const;
const middle = "192.0.2.1";
/** Of a gateway; Redis and the store are in its CPU time beside them. */
const services = new Set(["ingress", "delivery", "bounce", "admin"]);

/** Gateways with one Redis and one spool. */
interface Group {
  name: string;
  side: Side;
  /** To the store, while messages were measured. */
  requests: StoreRequests;
  stop(): Promise<void>;
}

export async function hosts(options: BenchOptions): Promise<Section> {
  const network = buildNetwork();
  const rows: Row[] = [];
  const compare = async (ours: Group, theirs: Group): Promise<void> => {
    const count = Math.ceil((load.messages * options.scale) / 2) * 2;
    const warmUp = Math.ceil(count / 10) * 2;
    const sides: [Side, Side] = [ours.side, theirs.side];
    const measured = await sideBySide(ours.name, { count, warmUp }, sides, theirs.name, undefined, options);
    const sent = count * options.rounds + warmUp;
    rows.push(...measured, perCpuSecond(ours, theirs, measured[0]), ...perMessage(ours, sent));
  };
  try {
    const onDisk = await startGroup(network, { name: "one host, on its disk", size: 1, spool: "disk" });
    const one = await startGroup(network, { name: "one host, in the store", size: 1, spool: "store" });
    await compare(one, onDisk);
    await onDisk.stop();
    await one.stop();
    const alone = await startGroup(network, { name: "one host, in the store", size: 1, spool: "store" });
    const two = await startGroup(network, { name: "two hosts, in the store", size: 2, spool: "store" });
    await compare(two, alone);
    await alone.stop();
    await two.stop();
  } finally {
    await network.down();
  }
  return {
    title: "Two hosts against one",
    about:
      "4 KiB, 100 sessions to each host, end to end, one process of each service on each host. The hosts are network namespaces that share the " +
      "processors of this machine with Redis, the store, which is in memory, and the load programs.",
    rows,
  };
}

let groups = 0;

async function startGroup(
  { hosts, directory }: LabNetwork,
  { name, size, spool }: { name: string; size: 1 | 2; spool: "disk" | "store" },
): Promise<Group> {
  const number = groups++;
  const redis = await startSharedRedis(hosts.gateway, { address: middle, port: 6400 + number, directory });
  const store = await startSharedStore(hosts.gateway, { address: middle, port: 9000 + number });
  const sinkPort = 10_000 + number;
  const sink = await startSink([], { address: middle, port: sinkPort, prefix: hosts.gateway.prefix });
  const port = smtpPort + number;
  const config = {
    redis: { url: redis.url },
    listeners: [{ name: "bench", address: "0.0.0.0", port, destination: "self" as const }],
    relay: { clients: [middle], routes: [{ to: "*", via: `${middle}:${sinkPort}` }] },
    ...(spool === "store" && { spool: { s3: store.settings("bench/") } }),
  };
  const gateways: Postern[] = [];
  for (const host of hostNames.slice(0, size))
    gateways.push(await startPostern({ config, prefix: hosts[host].prefix }));
  const requests: StoreRequests = {};
  const common = [
    { name: "redis-server", pid: redis.pid },
    { name: "store", pid: store.pid },
  ];
  const side: Side = {
    cpu: () => cpuSeconds([...gateways.flatMap((gateway) => gateway.processes()), ...common]),
    queued: async () => (await Promise.all(gateways.map((gateway) => gateway.queued()))).join("\n"),
    async measure(messages) {
      const [before, asked] = [sink.messages(), { ...(await store.requests()) }];
      const startMs = performance.now();
      const seconds = () => (performance.now() - startMs) / 1000;
      const share = { ...load, messages: messages / size };
      const { prefix } = hosts.gateway;
      await Promise.all(
        hostNames
          .slice(0, size)
          .map((host) => sendLoad(`${addresses[host].ipv4}:${port}`, share, { prefix })),
      );
      const acceptedSeconds = seconds();
      await sink.untilMessages(before + messages, 120_000);
      const figures = { accepted: messages / acceptedSeconds, endToEnd: messages / seconds() };
      for (const [operation, count] of Object.entries(await store.requests()))
        requests[operation] = (requests[operation] ?? 0) + count - (asked[operation] ?? 0);
      return figures;
    },
  };
  return {
    name,
    side,
    requests,
    async stop() {
      for (const gateway of gateways) await gateway.stop();
      await sink.stop();
      await store.stop();
      await redis.stop();
    },
  };
}

/** What one processor of the gateways' own does, whatever else runs on the machine. */
function perCpuSecond(ours: Group, theirs: Group, measured: Row | undefined): Row {
  const rate = (cpu: Record<string, number> = {}): number[] => {
    const own = Object.entries(cpu).filter(([name]) => services.has(name));
    return [1000 / own.reduce((sum, [, milliseconds]) => sum + milliseconds, 0)];
  };
  return {
    name: `messages for a second of the gateways' processor time: ${ours.name}`,
    unit: "messages",
    ours: rate(measured?.cpu?.ours),
    theirs: { name: theirs.name, values: rate(measured?.cpu?.theirs) },
  };
}

function perMessage({ name, requests }: Group, messages: number): Row[] {
  return ["put", "get", "list"].map((operation) => ({
    name: `${operation.toUpperCase()} to the store for a message: ${name}`,
    unit: "requests",
    ours: [(requests[operation] ?? 0) / messages],
  }));
}
