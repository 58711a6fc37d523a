/** Finds the running services: by the configuration, else by their announcements in Redis. Owns the connection it asks by. */
import { hostname } from "node:os";
import path from "node:path";
import type { Config } from "../../../shared/config/schema.ts";
import { readAnnouncements, type ServiceAnnouncement } from "../../../shared/runtime/announcement.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { createRedis, type RedisConfig } from "../../../shared/runtime/redis.ts";
import { CommandFailed, type Context } from "../command-line/args.ts";
import { requireConfig } from "../command-line/configuration.ts";
import { type AdminClient, adminUrl, createAdminClient, findToken } from "./admin-client.ts";

/** @throws UsageError for errors in the configuration, CommandFailed when no admin is known */
export async function connectToAdmin(context: Context): Promise<AdminClient> {
  const { config } = requireConfig(context);
  return createAdminClient(await findAdmin(config), await findToken(config));
}

async function findAdmin(config: Config): Promise<string> {
  const url = adminUrl(config.admin) ?? (await findAnnounced(config, "admin"));
  if (url === undefined)
    throw new CommandFailed("no admin is running: admin.port is 0, and none has announced itself");
  return url;
}

/**
 * Where a service on this machine, or else any, answers /health.
 * @throws CommandFailed when Redis cannot be asked
 */
export async function findAnnounced(config: Config, name: string): Promise<string | undefined> {
  const here = hostname();
  const found = (await announcements(config)).filter(
    (service) => service.name === name && service.url !== null,
  );
  const nearest = found.find(({ host }) => host === here) ?? found[0];
  const url = nearest?.url ?? undefined;
  // A service that listens everywhere announces the host's name, which may resolve to an address that it cannot use.
  return url?.replace(`//${here}:`, "//127.0.0.1:");
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

/** Without `redis` in the configuration `postern up` runs one, by this socket. */
function redisOf(config: Config): RedisConfig {
  return config.redis ?? { url: `unix://${path.resolve(config.data)}/redis/redis.sock` };
}
