/** Finds running services by the configuration, else by their announcements in Redis. Owns the connection that it reads them by. */
import { hostname } from "node:os";
import path from "node:path";
import { loadConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import {
  readAnnouncements,
  type ServiceAnnouncement,
  urlFromHere,
} from "../../../shared/runtime/announcement.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { createRedis, type RedisConfig } from "../../../shared/runtime/redis.ts";
import { CommandFailed, type Context, UsageError } from "../command-line/command.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { type AdminClient, adminUrl, createAdminClient, findToken } from "./admin-client.ts";

/**
 * With `--url` no configuration is needed. The token of the configuration goes to this machine only, then: to other hosts
 * the one of `--token`, or none.
 * @throws UsageError for errors in the configuration, CommandFailed when no admin is known
 */
export async function connectToAdmin(context: Context): Promise<AdminClient> {
  const { url, token } = context.admin;
  if (url === undefined) {
    const { config } = requireConfig(context);
    return createAdminClient(await findAdmin(config), token ?? (await findToken(config)));
  }
  const base = readUrl(url);
  return createAdminClient(
    base.href,
    token ?? (isLoopback(base.hostname) ? await anyToken(context) : undefined),
  );
}

/** By its announcement in Redis, not by the configuration. @returns `undefined` when none is announced */
export async function connectToAnnouncedAdmin(context: Context): Promise<AdminClient | undefined> {
  const { config } = requireConfig(context);
  const url = await findAnnouncedUrl(config, "admin");
  return url === undefined
    ? undefined
    : createAdminClient(url, context.admin.token ?? (await findToken(config)));
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:")
    throw new UsageError(`needs a URL such as http://127.0.0.1:8025 for --url, not '${text}'`);
  return url;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Of the configuration, if there is one. */
async function anyToken({ configFile }: Context): Promise<string | undefined> {
  const loaded = loadConfig({ file: configFile });
  return loaded.kind === "ok" ? findToken(loaded.config) : undefined;
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
