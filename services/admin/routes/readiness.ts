/** Whether the gateway as a whole accepts, delivers and bounces mail: the admin's /health. The connections belong to the caller. */
import type { Health } from "../../../shared/runtime/health-server.ts";
import {
  type RedisHealthConnection,
  redisWarnings,
  whyRedisFails,
} from "../../../shared/runtime/redis-health.ts";
import { whySpoolFails } from "../../../shared/runtime/spool-health.ts";
import { withTimeout } from "../../../shared/runtime/with-timeout.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import type { ServiceRow } from "./schemas.ts";

/** Probes give up after about a second. */
const limitMs = 900;
/** Without one of each, mail is not accepted, delivered and returned. */
export const neededServices = ["ingress", "delivery", "bounce"];

export interface ReadinessChecks {
  redis: RedisHealthConnection;
  /** The section `memory` of INFO. */
  memoryInfo(): Promise<string>;
  spool: Pick<Spool, "checkWritable">;
  services(): Promise<ServiceRow[]>;
}

/** Asks Redis, the spool and the services at once, and answers within a second even when one of them hangs. */
export async function checkReadiness(checks: ReadinessChecks): Promise<Health> {
  const { redis, memoryInfo, spool, services } = checks;
  const [redisFault, spoolFault, announced, warnings] = await Promise.all([
    whyRedisFails(redis),
    whySpoolFails(spool),
    within(limitMs, services),
    redisWarnings(memoryInfo),
  ]);
  const known = [redisFault, spoolFault].filter((fault) => fault !== undefined);
  const reasons = [...known];
  if (announced.kind === "ok") {
    reasons.push(...faultyServices(announced.value, { known, canAnnounce: redisFault === undefined }));
    warnings.push(...warningsOf(announced.value));
  } else if (redisFault === undefined) reasons.push(`the services are not known: ${announced.reason}`);
  return { ready: reasons.length === 0, reasons, ...(warnings.length > 0 && { warnings }) };
}

/** What the services warn of; the same once. Pure. */
export function warningsOf(announced: readonly ServiceRow[]): string[] {
  // An admin announces what it has heard of the others: they say it themselves.
  const others = announced.filter(({ name }) => name !== "admin");
  const lines = others.flatMap(({ name, host, warnings = [] }) =>
    warnings.map((warning) => `${name} on ${host}: ${warning}`),
  );
  return [...new Set(lines)];
}

/**
 * One ready instance of each service is enough. Pure.
 * @param known  reasons that are named already
 * @param canAnnounce  Redis takes announcements; otherwise one that is missing means nothing
 */
export function faultyServices(
  announced: readonly ServiceRow[],
  { known = [], canAnnounce = true }: { known?: readonly string[]; canAnnounce?: boolean } = {},
): string[] {
  return neededServices.flatMap((name) => {
    const instances = announced.filter((service) => service.name === name);
    if (instances.some(({ ready }) => ready)) return [];
    const [first] = instances;
    if (first === undefined) return canAnnounce ? [`${name}: no instance has announced itself`] : [];
    const reasons = first.reasons.filter((reason) => !known.includes(reason));
    if (reasons.length === 0 && first.reasons.length > 0) return [];
    return [`${name} on ${first.host} is not ready: ${reasons.join("; ") || "no reason given"}`];
  });
}

type Answer<T> = { kind: "ok"; value: T } | { kind: "failed"; reason: string };

/** Awaits an answer for at most `ms` milliseconds. Never rejects. */
export async function within<T>(ms: number, ask: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { kind: "ok", value: await withTimeout(ask(), ms) };
  } catch (error) {
    return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
  }
}
