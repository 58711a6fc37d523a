/** One run from its start to its judgement. Owns everything that it starts, and ends it by its process id. */
import { cpSync, createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { startDnsZone } from "../support/dns-zone.ts";
import { freePort } from "../support/free-port.ts";
import { AdminApi } from "./end/admin.ts";
import { waitUntilQuiet } from "./end/quiet.ts";
import { spoolLeftovers } from "./end/spool-leftovers.ts";
import { checkUsage, measureUsage } from "./end/usage.ts";
import { allFaults } from "./faults/all.ts";
import type { Stage } from "./faults/fault.ts";
import { type Plant, plantDuplicate, plantLoss } from "./faults/plants.ts";
import { playFaults } from "./faults/play.ts";
import type { Addresses } from "./gateway/config.ts";
import { makeDisk } from "./gateway/disk.ts";
import { processOfAddress, startGatewayProcesses } from "./gateway/processes.ts";
import { startChaosRedis } from "./gateway/redis.ts";
import { createRecorder } from "./history/recorder.ts";
import { type Clients, startClients } from "./load/clients.ts";
import { type Judgement, judge } from "./model/judge.ts";
import { domains, hostRecords } from "./peers/domains.ts";
import { startServers } from "./peers/servers.ts";
import { seededRandom } from "./random.ts";
import { makeSchedule } from "./schedule.ts";
import { makeShim } from "./shim/shim.ts";

export interface ChaosOptions {
  seed: number;
  durationMs: number;
  /** Where data, log and history go. */
  directory: string;
  /** Messages a second, roughly. */
  perSecond: number;
  /** Between two faults, on average. */
  faultEveryMs: number;
  /** Defects to plant, which the model has to find. */
  plants?: readonly Plant[];
  onProgress(line: string): void;
}

export interface ChaosResult extends Judgement {
  /** Faults that happened, by kind and process. */
  faults: Record<string, number>;
}

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { directory, durationMs, onProgress } = options;
  mkdirSync(directory, { recursive: true });
  const random = seededRandom(options.seed);
  const recorder = createRecorder(join(directory, "history.jsonl"));
  const log = createWriteStream(join(directory, "gateway.log"));
  const onLine = (name: string, line: string): void => void log.write(`${name} ${line}\n`);
  const disk = makeDisk(join(directory, "disk"));
  const shim = makeShim(directory, disk.directory);
  const shimEnv = typeof shim === "string" ? {} : shim.env;
  const zone = await startDnsZone(
    Object.fromEntries(Object.keys(domains).map((name) => [`mail.${name}`, hostRecords(name)])),
  );
  const servers = await startServers(recorder, random.fork("servers"), processOfAddress);
  const redis = startChaosRedis({
    directory: join(disk.directory, "redis"),
    dump: join(directory, "redis-dump"),
    random: random.fork("redis"),
    env: shimEnv,
    onLine: (line) => onLine("redis", line),
  });
  const addresses: Addresses = {
    ports: servers.ports,
    submissionPort: await freePort(),
    proxyPort: await freePort(),
    adminPort: await freePort(),
    nameServer: zone.server,
    redisUrl: redis.url,
  };
  const data = join(disk.directory, "data");
  const gateway = startGatewayProcesses({
    directory,
    data,
    addresses,
    recorder,
    random: random.fork("gateway"),
    env: shimEnv,
    onLine,
  });
  const admin = new AdminApi(gateway.adminUrl);
  const endAtOnce = (): void => {
    for (const program of [...gateway.programs, redis.program]) program.signal("SIGKILL");
    disk.unmount();
  };
  process.once("exit", endAtOnce);
  const ending = new AbortController();
  let clients: Clients | undefined;
  try {
    await gateway.waitUntilReady(120_000);
    onProgress("the gateway is ready");
    const usage = measureUsage(gateway);
    clients = startClients(addresses, recorder, random.fork("clients"), options.perSecond);
    const stage: Stage = { gateway, redis, admin, zone, recorder, data, ending: ending.signal };
    for (const plant of options.plants ?? [])
      await (plant === "loss" ? plantLoss(stage) : plantDuplicate(stage, addresses));
    const faults = allFaults(shim, disk);
    for (const { name, unavailable } of faults)
      if (unavailable !== undefined) onProgress(`without ${name}: ${unavailable}`);
    const possible = faults.filter(({ unavailable }) => unavailable === undefined);
    const schedule = makeSchedule(possible, random.fork("schedule"), {
      durationMs,
      everyMs: options.faultEveryMs,
      quietMs: Math.min(10_000, durationMs / 5),
    });
    await playFaults(schedule, possible, stage, { durationMs, onProgress, end: () => ending.abort() });
    servers.calm();
    await clients.stop();
    onProgress("the faults are over; waiting for the queues to be empty");
    await gateway.waitUntilReady(300_000);
    await waitUntilQuiet(admin, join(data, "spool"), recorder);
    await checkUsage(gateway, usage, recorder);
    onProgress("stopping");
    for (const name of await gateway.stop(60_000))
      recorder.record({ kind: "leftover", what: `${name} did not end by SIGTERM` });
    const isDamaged = recorder
      .events()
      .some((event) => event.kind === "fault" && event.fault === "flipped-byte");
    for (const what of await spoolLeftovers(join(data, "spool"), isDamaged))
      recorder.record({ kind: "leftover", what });
  } finally {
    ending.abort();
    const stopped = clients?.stop();
    await gateway.stop(60_000);
    await redis.program.stop(30_000);
    if (typeof shim !== "string") shim.close();
    keepWhatIsLeft(disk.directory, join(directory, "disk-at-end"));
    process.off("exit", endAtOnce);
    disk.unmount();
    await stopped;
    await servers.stop();
    await zone.stop();
    await recorder.close();
    await new Promise<void>((resolve) => log.end(() => resolve()));
  }
  const history = recorder.events();
  return { ...judge(history), faults: countFaults(history) };
}

/** The disk of the run goes with it. */
function keepWhatIsLeft(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith(".sock") });
}

function countFaults(
  history: ReturnType<ReturnType<typeof createRecorder>["events"]>,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const event of history) {
    if (event.kind !== "fault" || event.ended === true) continue;
    // Files have names that say nothing.
    const what = `${event.fault} ${event.target.replace(/\/.*/, "")}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}
