/** Gathers the status of the gateway: everything at once, and within a second and a half even when Redis or a disk hangs. */
import { age } from "../../../shared/age.ts";
import { type EndedService, readEndedServices } from "../../../shared/runtime/announcement.ts";
import type { Health } from "../../../shared/runtime/health-server.ts";
import { memoryOf } from "../../../shared/runtime/redis-health.ts";
import { ratePerMinute, sessionsPerMinute } from "../../../shared/runtime/traffic.ts";
import type { AdminDependencies } from "./dependencies.ts";
import { littleDiskBytes, nextSteps, type StatusFacts } from "./next-steps.ts";
import { queueRows } from "./overview-routes.ts";
import { neededServices, within } from "./readiness.ts";
import type { ServiceRow } from "./schemas.ts";
import type { GatewayStatus, StatusService } from "./status-schemas.ts";
import { describeIndex } from "./summary-routes.ts";

const limitMs = 1_400;
const worstShown = 3;
/** Sessions are shown over so many minutes. */
const sessionMinutes = 5;

export async function gatewayStatus(deps: AdminDependencies): Promise<GatewayStatus> {
  const { inspector, redis, holds } = deps;
  const nowMs = deps.now();
  const ask = async <T>(question: () => Promise<T>): Promise<T | undefined> => {
    const answer = await within(limitMs, question);
    return answer.kind === "ok" ? answer.value : undefined;
  };
  const [health, services, ended, counts, traffic, worst, disk, memory] = await Promise.all([
    deps.health(),
    ask(deps.services),
    ask(() => readEndedServices(redis, nowMs)),
    ask(() => inspector.counts()),
    ask(deps.traffic),
    ask(() => inspector.worst(worstShown)),
    ask(deps.spoolStatus),
    ask(() => readMemory(deps)),
  ]);
  const rows = statusServices(services ?? [], ended ?? [], services !== undefined);
  const queues = counts === undefined ? null : queueRows(counts, inspector.oldest(), nowMs);
  const oldestMs = deps.oldestMs();
  const sum = (of: "dead" | "held"): number | null =>
    queues === null ? null : queues.reduce((total, queue) => total + queue[of], 0);
  const { reasons, warnings } = judge(health, rows, { freeBytes: disk?.bytesFree, nowMs });
  const facts: StatusFacts = {
    ok: reasons.length === 0,
    reasons,
    warnings,
    at: new Date(nowMs).toISOString(),
    services: rows,
    redis: {
      ok: memory !== undefined && !health.reasons.some((reason) => reason.startsWith("Redis ")),
      usedBytes: memory?.usedBytes ?? null,
      maxBytes: memory?.maxBytes ?? null,
      latencyMs: memory?.latencyMs ?? null,
    },
    rates:
      traffic === undefined
        ? null
        : {
            "1m": ratePerMinute(traffic, 1),
            "5m": ratePerMinute(traffic, 5),
            "15m": ratePerMinute(traffic, 15),
          },
    sessions: traffic === undefined ? null : sessionsPerMinute(traffic, sessionMinutes),
    queues,
    oldestSeconds: oldestMs === undefined ? null : oldestMs / 1000,
    dead: sum("dead"),
    held: sum("held"),
    holds: holds.list().filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs).length,
    worst: worst?.destinations ?? [],
    ...describeIndex(worst?.index ?? { asOfMs: undefined, indexed: 0, skipped: 0 }),
    disk: disk === undefined ? null : { usedBytes: disk.bytesUsed, freeBytes: finiteOrNull(disk.bytesFree) },
  };
  return { ...facts, next: nextSteps(facts) };
}

/**
 * The running services, those that have ended without a word and have no successor, and those that are missing. Pure.
 * @param isKnown  Redis has said which services there are
 */
export function statusServices(
  running: readonly ServiceRow[],
  ended: readonly EndedService[],
  isKnown: boolean,
): StatusService[] {
  const rows: StatusService[] = running.map((service) => ({
    ...service,
    state: service.ready ? "ready" : "not ready",
  }));
  for (const service of ended) {
    if (successorOf(service, running) !== undefined) continue;
    const { lastSeenMs, ...row } = service;
    const lastSeenAt = new Date(lastSeenMs).toISOString();
    rows.push({ ...row, ready: false, reasons: ["it has ended without a word"], state: "ended", lastSeenAt });
  }
  for (const name of isKnown ? neededServices : []) {
    if (rows.some((row) => row.name === name)) continue;
    const nobody = { host: null, pid: null, startedAt: null, url: null };
    rows.push({
      name,
      ...nobody,
      ready: false,
      reasons: ["no instance has announced itself"],
      state: "missing",
    });
  }
  return rows;
}

/** One that was started on the same host after it had ended, in its place. */
function successorOf(
  { name, host, lastSeenMs, startedAt }: EndedService,
  running: readonly ServiceRow[],
): ServiceRow | undefined {
  return running.find(
    (service) =>
      service.name === name &&
      service.host === host &&
      service.startedAt > startedAt &&
      // Its last announcement that was kept is up to five seconds old.
      Date.parse(service.startedAt) > lastSeenMs - 10_000,
  );
}

/** What the health of the gateway does not say: services that have ended, and little space. Pure. */
export function judge(
  health: Health,
  services: readonly StatusService[],
  { freeBytes, nowMs }: { freeBytes: number | undefined; nowMs: number },
): { reasons: string[]; warnings: string[] } {
  const ended = services
    .filter(({ state }) => state === "ended")
    .map(({ name, host, pid, lastSeenAt }) => {
      const ago = age(nowMs - Date.parse(lastSeenAt ?? ""));
      return `${name} on ${host} (pid ${pid}) has ended without a word, ${ago} ago`;
    });
  const warnings = [...(health.warnings ?? [])];
  if (freeBytes !== undefined && freeBytes < littleDiskBytes) {
    warnings.push(`the file system of the spool has ${Math.floor(freeBytes / 2 ** 20)} MB left`);
  }
  return { reasons: [...health.reasons, ...ended], warnings };
}

/** A spool in memory has no end of space. */
function finiteOrNull(octets: number): number | null {
  return Number.isFinite(octets) ? octets : null;
}

async function readMemory({ redis, memoryInfo }: AdminDependencies) {
  const startedMs = performance.now();
  const ping = async () => {
    await redis.ping();
    return Math.round((performance.now() - startedMs) * 10) / 10;
  };
  // At once: INFO is under way for the readiness, too.
  const [latencyMs, info] = await Promise.all([ping(), memoryInfo()]);
  const { usedBytes, maxBytes } = memoryOf(info);
  return { latencyMs, usedBytes, maxBytes: maxBytes || null };
}
