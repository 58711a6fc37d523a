/** Finds running services by the configuration, else by their announcements in Redis. Owns the connection that it reads them by. */
import { hostname } from "node:os";
import path from "node:path";
import type { Config } from "../../../shared/config/schema.ts";
import {
  readAnnouncements,
  type ServiceAnnouncement,
  urlFromHere,
} from "../../../shared/runtime/announcement.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { createRedis, type RedisConfig } from "../../../shared/runtime/redis.ts";
import { CommandFailed, type Context } from "../command-line/args.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { type AdminClient, adminUrl, createAdminClient, findToken } from "./admin-client.ts";

/** @throws UsageError for errors in the configuration, CommandFailed when no admin is known */
export async function connectToAdmin(context: Context): Promise<AdminClient> {
  const { config } = requireConfig(context);
  return createAdminClient(await findAdmin(config), await findToken(config));
}

async function findAdmin(config: Config): Promise<string> {
  const url = adminUrl(config.admin) ?? (await findAnnouncedUrl(config, "admin"));
  if (url === undefined)
    throw new CommandFailed("no admin is running: admin.port is 0, and none is announced in Redis");
  return url;
}

/**
 * The URL of a service, preferably of one on this machine.
 * @throws CommandFailed when Redis is out of reach
 */
export async function findAnnouncedUrl(config: Config, name: string): Promise<string | undefined> {
  const here = hostname();
  const found = (await announcements(config)).filter(
    (service) => service.name === name && service.url !== null,
  );
  const nearest = found.find(({ host }) => host === here) ?? found[0];
  const url = nearest?.url ?? undefined;
  return url === undefined ? undefined : urlFromHere(url);
}

async function announcements(config: Config): Promise<ServiceAnnouncement[]> {
  const redis = createRedis(redisOf(config), "plain", createLogger("cli", { write() {} }));
  try {
    return await readAnnouncements(redis);
  } catch (error) {
    throw new CommandFailed(`Redis is out of reach (${(error as Error).message}): is anything running?`);
  } finally {
    redis.disconnect();
  }
}

/** Without `redis` in the configuration, the embedded Redis of `postern up`. */
function redisOf(config: Config): RedisConfig {
  return config.redis ?? { url: `unix://${path.resolve(config.data)}/redis/redis.sock` };
}
