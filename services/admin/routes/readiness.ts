/** Whether the gateway as a whole can do its work: what the admin's /health says. The connections are its caller's. */

import type { Health } from "../../../shared/runtime/health-server.ts";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import { withTimeout } from "../../../shared/runtime/with-timeout.ts";
import type { SpoolStatus } from "../../../shared/spool/spool.ts";
import type { ServiceRow } from "./schemas.ts";

/** A probe gives up after a second or so: what does not answer within this is out of reach. */
const limitMs = 800;
const needed = ["ingress", "delivery", "bounce"];

/** Asks everything at once; answers within a second whatever hangs. */
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
  return { ready: reasons.length === 0, reasons };
}

/** One ready instance of each service is enough. Pure. */
export function missingServices(announced: readonly ServiceRow[]): string[] {
  return needed.flatMap((name) => {
    const instances = announced.filter((service) => service.name === name);
    if (instances.some(({ ready }) => ready)) return [];
    const [first] = instances;
    if (first === undefined) return [`${name}: no instance has announced itself`];
    return [`${name} on ${first.host} is not ready: ${first.reasons.join("; ") || "it does not say why"}`];
  });
}

type Answer<T> = { kind: "ok"; value: T } | { kind: "failed"; reason: string };

/** Never rejects. */
export async function within<T>(ms: number, question: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { kind: "ok", value: await withTimeout(question(), ms) };
  } catch (error) {
    return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
  }
}
