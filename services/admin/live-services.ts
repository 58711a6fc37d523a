/**
 * The services as they are now. An announcement in Redis is up to a few seconds old, so those on this machine are asked
 * themselves: one that was killed a moment ago no longer answers.
 */
import { hostname } from "node:os";
import { z } from "zod";
import { type ServiceAnnouncement, urlFromHere } from "../../shared/runtime/announcement.ts";

/** A service that takes longer is busy: its announcement counts until it expires. */
const answerMs = 500;

const health = {
  ready: z.boolean(),
  reasons: z.array(z.string()),
  warnings: z.array(z.string()).default([]),
};
const healthSchema = z.object({
  ...health,
  /** Of a service whose processes answer at one address. */
  workers: z.array(z.object({ ...health, pid: z.int() })).optional(),
});
const ended = { ready: false, reasons: ["its process has ended"] };

/** @returns the same services in the same order */
export function askServices(announced: readonly ServiceAnnouncement[]): Promise<ServiceAnnouncement[]> {
  const here = hostname();
  return Promise.all(announced.map((service) => (service.host === here ? ask(service) : service)));
}

async function ask(service: ServiceAnnouncement): Promise<ServiceAnnouncement> {
  // The admin that asks knows its own health.
  if (service.url === null || service.name === "admin") return service;
  try {
    const signal = AbortSignal.timeout(answerMs);
    const response = await fetch(`${urlFromHere(service.url)}/health`, { signal });
    const { workers, ...whole } = healthSchema.parse(await response.json());
    if (workers === undefined) return { ...service, ...whole };
    const own = workers.find(({ pid }) => pid === service.pid);
    return { ...service, ...(own ?? ended) };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    if (cause?.code !== "ECONNREFUSED") return service;
    return { ...service, ...ended };
  }
}
