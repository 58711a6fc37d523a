/** Whether the gateway as a whole is ready: the admin's /health. The connections belong to the caller. */
import type { Health } from "../../../shared/runtime/health-server.ts";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import { withTimeout } from "../../../shared/runtime/with-timeout.ts";
import type { SpoolStatus } from "../../../shared/spool/spool.ts";
import type { ServiceRow } from "./schemas.ts";

/** Probes give up after about a second; what takes longer than this counts as out of reach. */
const limitMs = 800;
const needed = ["ingress", "delivery", "bounce"];

/** Asks Redis, the spool and the services at once, and answers within a second even when one of them hangs. */
export async function checkReadiness(
  redis: Pick<RedisConnection, "ping">,
  spoolStatus: () => Promise<SpoolStatus>,
  services: () => Promise<ServiceRow[]>,
): Promise<Health> {
  const [ping, storage, announced] = await Promise.all([
    within(limitMs, async () => redis.ping()),
    within(limitMs, spoolStatus),
    within(limitMs, services),
  ]);
  const reasons: string[] = [];
  if (ping.kind === "failed") reasons.push(`Redis is out of reach: ${ping.reason}`);
  else if (announced.kind === "failed") reasons.push(`the services are not known: ${announced.reason}`);
  if (storage.kind === "failed") reasons.push(`the spool cannot be used: ${storage.reason}`);
  else if (storage.value.bytesFree <= 0) reasons.push("the spool is full");
  if (announced.kind === "ok") reasons.push(...missingServices(announced.value));
  const warnings = announced.kind === "ok" ? warningsOf(announced.value) : [];
  return { ready: reasons.length === 0, reasons, ...(warnings.length > 0 && { warnings }) };
}

/** What the services warn of; the same once. Pure. */
export function warningsOf(announced: readonly ServiceRow[]): string[] {
  const lines = announced.flatMap(({ name, host, warnings = [] }) =>
    warnings.map((warning) => `${name} on ${host}: ${warning}`),
  );
  return [...new Set(lines)];
}

/** One ready instance of each service is enough. Pure. */
export function missingServices(announced: readonly ServiceRow[]): string[] {
  return needed.flatMap((name) => {
    const instances = announced.filter((service) => service.name === name);
    if (instances.some(({ ready }) => ready)) return [];
    const [first] = instances;
    if (first === undefined) return [`${name}: no instance has announced itself`];
    return [`${name} on ${first.host} is not ready: ${first.reasons.join("; ") || "no reason given"}`];
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
