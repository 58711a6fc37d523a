/** `postern reload`: asks every process on every host to check its configuration, then to take it, and collects the answers. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { readAnnouncements, type ServiceAnnouncement } from "../../../shared/runtime/announcement.ts";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import { type ReloadRequest, reloadKey } from "../../../shared/runtime/reload-request.ts";

export interface ReloadReport {
  /**
   * `taken`: all processes have it. `invalid`: one of them found errors or could not have it, and none has taken it.
   * `incomplete`: not all could be asked, or one failed after the check; `services` says which.
   */
  state: "taken" | "invalid" | "incomplete";
  services: ProcessReport[];
}

export interface ProcessReport {
  name: string;
  host: string;
  pid: number;
  /** `old-version`: it knows no reload. */
  state: "checked" | "taken" | "invalid" | "failed" | "no-answer" | "old-version";
  errors: string[];
  changed: string[];
  restart: string[];
  rolling: string[];
}

/** An announcement of a process that has died is there for six seconds: it is not waited for longer. */
const answerMs = 10_000;
const pollMs = 100;

/** @throws Error of Redis */
export async function reloadEveryProcess(
  redis: RedisConnection,
  withinMs: number = answerMs,
): Promise<ReloadReport> {
  const id = randomUUID();
  const checked = await ask(redis, { id, phase: "check", atMs: Date.now() }, withinMs);
  if (checked.some(({ state }) => state === "invalid" || state === "failed"))
    return { state: "invalid", services: checked };
  const services = await ask(redis, { id, phase: "take", atMs: Date.now() }, withinMs);
  return { state: services.every(({ state }) => state === "taken") ? "taken" : "incomplete", services };
}

async function ask(
  redis: RedisConnection,
  request: ReloadRequest,
  withinMs: number,
): Promise<ProcessReport[]> {
  await redis.set(reloadKey, JSON.stringify(request));
  const untilMs = performance.now() + withinMs;
  for (;;) {
    const reports = (await readAnnouncements(redis)).map((service) => reportOf(service, request));
    const isWaiting = reports.some(({ state }) => state === "no-answer");
    if (reports.length > 0 && !isWaiting) return reports;
    if (performance.now() >= untilMs) return reports;
    await sleep(pollMs);
  }
}

function reportOf({ name, host, pid, reload }: ServiceAnnouncement, request: ReloadRequest): ProcessReport {
  const process = { name, host, pid };
  const nothing = { errors: [], changed: [], restart: [], rolling: [] };
  if (reload === undefined) return { ...process, ...nothing, state: "old-version" };
  const isAnswer = reload !== null && reload.request === request.id && reload.phase === request.phase;
  if (!isAnswer) return { ...process, ...nothing, state: "no-answer" };
  const { state, errors, changed, restart, rolling } = reload;
  return { ...process, state, errors, changed, restart, rolling };
}
