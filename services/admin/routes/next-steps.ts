/** What an operator should do next, as sentences with the command, the most important first. Pure. */
import { age } from "../../../shared/age.ts";
import type { GatewayStatus } from "./status-schemas.ts";

export interface NextStep {
  text: string;
  /** Words of a command line; `null` when it is to be done elsewhere. */
  command: string | null;
}

export type StatusFacts = Omit<GatewayStatus, "next">;

/** Less free space than this is little for a spool that has to take mail while a destination is down. */
export const littleDiskBytes = 2 * 2 ** 30;
/** Mail that is this old is not on its way, it waits for something. */
const longMs = 4 * 3_600_000;
/** So many messages to one destination are worth a look. */
const manyDeferred = 10;

export function nextSteps(facts: StatusFacts): NextStep[] {
  return [
    ...redisSteps(facts),
    ...serviceSteps(facts),
    ...diskSteps(facts),
    ...deadSteps(facts),
    ...destinationSteps(facts),
    ...heldSteps(facts),
  ];
}

function redisSteps({ redis, reasons }: StatusFacts): NextStep[] {
  if (redis.ok) return [];
  const isFull = reasons.some((reason) => reason.startsWith("Redis is full"));
  const text = isFull
    ? "Raise maxmemory of Redis. Until then accepted mail stays in the spool, and is scheduled late."
    : "Start Redis, or make it reachable. Until then mail is accepted into the spool and not delivered; nothing is lost.";
  return [{ text, command: null }];
}

function serviceSteps({ services, redis }: StatusFacts): NextStep[] {
  const steps: NextStep[] = [];
  // Without Redis no service can announce itself.
  if (!redis.ok) return steps;
  for (const { name, host, pid, state, reasons } of services) {
    if (state === "missing") {
      steps.push({ text: `Start ${name}: none is running.`, command: `postern ${name}` });
    } else if (state === "ended") {
      steps.push({
        text: `Read the log of ${name} (pid ${pid}) on ${host}: it has ended without a word; start it again.`,
        command: `postern ${name}`,
      });
    } else if (state === "not ready" && reasons.length > 0) {
      steps.push({
        text: `Look after ${name} on ${host}: ${reasons[0]}.`,
        command: `postern health ${name}`,
      });
    }
  }
  return steps;
}

function diskSteps({ disk }: StatusFacts): NextStep[] {
  if (disk === null || disk.freeBytes === null || disk.freeBytes >= littleDiskBytes) return [];
  const text = "Make room on the file system of the spool: without it mail is refused for now (452).";
  return [{ text, command: "df -h" }];
}

function deadSteps({ dead }: StatusFacts): NextStep[] {
  if (dead === null || dead === 0) return [];
  const text = `${messages(dead)} could be neither delivered nor returned: see why, then requeue or remove.`;
  return [{ text, command: "postern queue list --status dead" }];
}

function destinationSteps({ worst, at }: StatusFacts): NextStep[] {
  const [first] = worst;
  if (first === undefined) return [];
  const waitedMs = Date.parse(at) - Date.parse(first.oldestAt);
  if (first.messages < manyDeferred && waitedMs < longMs) return [];
  const waits = first.messages === 1 ? "waits" : "wait";
  return [
    {
      text: `${messages(first.messages)} ${waits} for ${first.destination}, the oldest for ${age(waitedMs)}: see why it is slow.`,
      command: `postern destination ${first.destination}`,
    },
  ];
}

function heldSteps({ held }: StatusFacts): NextStep[] {
  if (held === null || held === 0) return [];
  const text = `${messages(held)} ${held === 1 ? "is" : "are"} held until someone releases ${held === 1 ? "it" : "them"}: see by which rules.`;
  return [{ text, command: "postern holds" }];
}

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}
