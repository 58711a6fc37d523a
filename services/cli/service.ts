/** `postern ingress | delivery | bounce | admin`: one service in this process, which is what a container runs. */
import type { RunOptions } from "../../shared/runtime/run-service.ts";
import { type Command, CommandFailed, defineCommand } from "./command-line/args.ts";
import { requireConfig } from "./command-line/configuration.ts";
import { graceMs, graceOption } from "./command-line/grace.ts";

const summaries = {
  ingress: "Take connections: listeners, queued sessions and the outgoing proxy",
  delivery: "Deliver from the queue; run as many as you like",
  bounce: "Make delivery status notifications",
  admin: "Show and steer: pages, API and metrics",
} as const;

type ServiceName = keyof typeof summaries;

/** What `services/NAME/main.ts` exports: runs the service until a signal ends the process. */
type ServiceMain = (options: RunOptions) => Promise<void>;

export const serviceCommands: Command[] = (Object.keys(summaries) as ServiceName[]).map((name) =>
  defineCommand({
    name,
    summary: summaries[name],
    usage: "[--grace 30s] [--redis URL] [--health-port PORT]",
    options: {
      grace: graceOption,
      redis: { type: "string", value: "URL", help: "in place of the configuration's redis" },
      "health-port": {
        type: "string",
        value: "PORT",
        help: "in place of the configuration's health.port; 0: any free one",
      },
    },
    async run(context, values) {
      const { config, file } = requireConfig(context);
      if (values.redis !== undefined) config.redis = { url: values.redis };
      if (values["health-port"] !== undefined) config.health.port = Number(values["health-port"]);
      if (config.redis === undefined) {
        throw new CommandFailed(
          `${name} needs redis.url in ${file}; only 'postern up' runs a Redis of its own`,
        );
      }
      // A service is a program of its own; this one only starts it.
      const program = new URL(`../${name}/main.ts`, import.meta.url);
      const { main } = (await import(program.href)) as { main: ServiceMain };
      await main({ config, configFile: file, graceMs: graceMs(values.grace) });
      // Until a signal ends the process.
      return new Promise<never>(() => {});
    },
  }),
);
