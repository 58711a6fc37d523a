/** Whether no service works on a spool. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Config } from "../../../shared/config/schema.ts";
import { readAnnouncements } from "../../../shared/runtime/announcement.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { createRedis } from "../../../shared/runtime/redis.ts";

/** A process that writes to a spool changes its heartbeat every two seconds. */
const heartbeatMs = 3_000;

/**
 * Why services may be running; undefined when there is no sign of any.
 * @param spool  its directory
 */
export async function whyNotStopped(config: Config, spool: string): Promise<string | undefined> {
  const before = heartbeats(spool);
  const announced = config.redis === undefined ? undefined : await whyAnnounced(config.redis);
  if (announced !== undefined) return announced;
  if (before.size === 0) return undefined;
  await wait(heartbeatMs);
  for (const [name, text] of heartbeats(spool))
    if (before.get(name) !== text) return "a process is writing to this spool";
  return undefined;
}

async function whyAnnounced(config: NonNullable<Config["redis"]>): Promise<string | undefined> {
  const redis = createRedis(config, "plain", createLogger("cli", { write() {} }));
  try {
    const running = (await readAnnouncements(redis)).map(
      ({ name, host, pid }) => `${name} on ${host} (pid ${pid})`,
    );
    return running.length === 0
      ? undefined
      : `services are running, or were a moment ago: ${running.join(", ")}`;
  } catch (error) {
    return `Redis does not say whether services are running (${(error as Error).message})`;
  } finally {
    redis.disconnect();
  }
}

function heartbeats(spool: string): Map<string, string> {
  const directory = path.join(spool, "writers");
  const texts = new Map<string, string>();
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    try {
      texts.set(name, readFileSync(path.join(directory, name), "latin1"));
    } catch {
      // Its process has ended meanwhile.
    }
  }
  return texts;
}
