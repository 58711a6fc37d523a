/** `postern health [SERVICE]`: asks a running service for its health, for container health checks and scripts. */
import { z } from "zod";
import { loadValidPart } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { serviceHeader } from "../../shared/runtime/health-server.ts";
import { adminUrl, findToken, localUrl } from "./admin-api/admin-client.ts";
import { findAnnouncedUrl } from "./admin-api/admin-connection.ts";
import { CommandFailed, defineCommand, UsageError } from "./command-line/command.ts";
import { requireConfig } from "./command-line/common-options.ts";

const services = ["ingress", "delivery", "bounce", "admin"];
/** Of each question. Shorter than the time-out of a container's health check. */
const limitMs = 4_000;

const answerSchema = z.object({
  ready: z.boolean(),
  reasons: z.array(z.string()).default([]),
  warnings: z.array(z.string()).default([]),
});

export const command = defineCommand({
  usage: "[ingress|delivery|bounce|admin]",
  options: {},
  positionals: { min: 0, max: 1, choices: services },
  examples: [
    ["the whole gateway, as the admin sees it", "health"],
    ["one service, as a container's health check does", "health ingress"],
  ],
  async run(context, _values, [service = "admin"]) {
    if (!services.includes(service))
      throw new UsageError(`knows no service '${service}', only: ${services.join(", ")}`);
    // A container must not count as ill because its file has got errors that are not in force.
    const config = loadValidPart({ file: context.configFile }) ?? requireConfig(context).config;
    const url = await findService(config, service);
    if (url === undefined) throw new CommandFailed(`${service} is not running`);
    const { ready, reasons, warnings } = await askHealth(
      url,
      service === "admin" ? await findToken(config) : undefined,
      service,
    );
    if (!ready)
      throw new CommandFailed(`${service} is not ready: ${reasons.join("; ") || "no reason given"}`);
    context.stdout.write(`${service} is ready\n`);
    for (const warning of warnings) context.stdout.write(`warning: ${warning}\n`);
    return 0;
  },
});

async function findService(config: Config, service: string): Promise<string | undefined> {
  if (service === "admin") return adminUrl(config.admin) ?? findAnnouncedUrl(config, service);
  const { address, port } = config.health;
  if (port === 0) return findAnnouncedUrl(config, service);
  // In a container the service has the configured port; under `postern up` delivery and bounce have the two after it.
  const urls = [port, port + 1, port + 2].map((each) => localUrl(address, each));
  const names = await Promise.all(urls.map(serviceAt));
  return urls[names.indexOf(service)];
}

/** Which service answers there. Asked for nothing, it says so at once, however busy it is with its health. */
async function serviceAt(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(limitMs) });
    await response.body?.cancel();
    return response.headers.get(serviceHeader) ?? undefined;
  } catch {
    return undefined;
  }
}

async function askHealth(
  url: string,
  token: string | undefined,
  service: string,
): Promise<z.infer<typeof answerSchema>> {
  try {
    const response = await fetch(`${url}/health`, {
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      signal: AbortSignal.timeout(limitMs),
    });
    return answerSchema.parse(await response.json());
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error);
    throw new CommandFailed(`${service} does not answer at ${url}: ${cause.message}`);
  }
}
