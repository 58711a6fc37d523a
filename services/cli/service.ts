/** `postern ingress | delivery | bounce | admin`: runs one service in this process, as a container does. */
import { descriptorsFrom, listenDescriptors } from "../../shared/config/listen-descriptors.ts";
import { type LoadedConfig, loadConfig } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { becomeUser, openListeners, usesClientAddresses } from "../../shared/runtime/privileges.ts";
import type { ConfigSource, RunOptions } from "../../shared/runtime/run-service.ts";
import { CannotStart } from "../../shared/runtime/start-failure.ts";
import { type Command, CommandFailed, defineCommand } from "./command-line/command.ts";
import { graceMs, graceOption, requireConfig, userOption } from "./command-line/common-options.ts";

type ServiceName = "ingress" | "delivery" | "bounce" | "admin";

/** The `main` of `services/NAME/main.ts`, which runs the service until a signal ends the process. */
type ServiceMain = (options: RunOptions) => Promise<void>;

export function serviceCommand(name: ServiceName): Command {
  return defineCommand({
    details: "Needs redis.url. SIGTERM stops it gently; SIGHUP reads its files again.",
    usage:
      "[--grace 30s] [--redis URL] [--health-port PORT] [--health-file FILE] [--user NAME] [--listen-fds N]",
    options: {
      grace: graceOption,
      redis: { type: "string", value: "URL", help: "replaces redis of the configuration" },
      "health-port": {
        type: "string",
        value: "PORT",
        help: "replaces health.port of the configuration; 0: any free port",
      },
      "health-file": {
        type: "string",
        value: "FILE",
        help: "gets address and port of /health, for the health check of a container",
      },
      user: userOption,
      "listen-fds": {
        type: "string",
        value: "N",
        help: "the N descriptors from 3 on are sockets of listeners; default: those of systemd",
      },
    },
    examples: [
      ["as a container runs it", `${name} -c /etc/postern/postern.yaml`],
      ["with time for long transactions when it stops", `${name} --grace 2m`],
    ],
    async run(context, values) {
      /** The options of this command hold for every reading. */
      const withOptions = <T extends LoadedConfig>(read: T): T => {
        if (read.kind === "invalid") return read;
        if (values.redis !== undefined) read.config.redis = { url: values.redis };
        if (values["health-port"] !== undefined) read.config.health.port = Number(values["health-port"]);
        return read;
      };
      const loaded = withOptions(requireConfig(context));
      const { config, file } = loaded;
      if (config.redis === undefined) {
        throw new CommandFailed(
          `${name} needs redis.url in ${file}; only 'postern up' runs a Redis of its own`,
        );
      }
      // A service is a program of its own: it is started by its path, and never imported.
      const program = new URL(`../${name}/main.ts`, import.meta.url);
      const { main } = (await import(program.href)) as { main: ServiceMain };
      const source: ConfigSource = {
        loaded,
        load: (before) =>
          withOptions(loadConfig({ file: context.configFile, ...(before === undefined ? {} : { before }) })),
      };
      const sockets = takeSockets(name, config, values);
      const healthFile = values["health-file"];
      await main({ config, configFile: file, source, graceMs: graceMs(values.grace), healthFile, sockets });
      // A signal ends the process.
      return new Promise<never>(() => {});
    },
  });
}

/** Gets the sockets of the listeners, and then becomes the user. @throws CommandFailed */
function takeSockets(
  name: ServiceName,
  config: Config,
  values: { user?: string | undefined; "listen-fds"?: string | undefined },
): number[] {
  const count = values["listen-fds"];
  const given = count === undefined ? listenDescriptors() : descriptorsFrom(count);
  if (values.user === undefined) return given;
  try {
    const opened = name === "ingress" && given.length === 0 ? openListeners(config) : given;
    const connects = name === "ingress" || name === "delivery";
    becomeUser(values.user ?? "", config.data, connects && usesClientAddresses(config));
    return opened;
  } catch (error) {
    throw error instanceof CannotStart ? new CommandFailed(error.message) : error;
  }
}
