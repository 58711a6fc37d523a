/** `postern ingress | delivery | bounce | admin`: runs one service, as a container does, in this process or in workers of it. */
import { availableParallelism } from "node:os";
import { descriptorsFrom, listenDescriptors } from "../../shared/config/listen-descriptors.ts";
import { type LoadedConfig, loadConfig } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { withNetAdmin } from "../../shared/runtime/capabilities.ts";
import { becomeUser, openListeners, usesClientAddresses } from "../../shared/runtime/privileges.ts";
import type { ConfigSource, RunOptions } from "../../shared/runtime/run-service.ts";
import { CannotStart } from "../../shared/runtime/start-failure.ts";
import { type Command, CommandFailed, defineCommand, UsageError } from "./command-line/command.ts";
import {
  graceMs,
  graceOption,
  requireConfig,
  userOption,
  workerCount,
  workersOption,
} from "./command-line/common-options.ts";
import { runWorkers } from "./processes/run-workers.ts";

type ServiceName = "ingress" | "delivery" | "bounce" | "admin";

/** The `main` of `services/NAME/main.ts`, which runs the service until a signal ends the process. */
type ServiceMain = (options: RunOptions) => Promise<void>;

const forWorkers =
  " With two workers or more this process supervises them, and answers /health and /metrics for all. SIGUSR2 restarts them one after another, without a refused connection.";

export function serviceCommand(name: ServiceName): Command {
  const hasWorkers = name === "ingress" || name === "delivery";
  return defineCommand({
    details: `Needs redis.url. SIGTERM stops it gently; SIGHUP reads its files again.${hasWorkers ? forWorkers : ""}`,
    usage: `${hasWorkers ? "[--workers N] " : ""}[--grace 30s] [--redis URL] [--health-port PORT] [--health-file FILE] [--user NAME] [--listen-fds N]`,
    options: {
      workers: { ...workersOption, hidden: !hasWorkers },
      // The address at which the supervisor of this worker answers.
      "worker-of": { type: "string", value: "URL", hidden: true, help: "for a worker" },
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
      ...(hasWorkers ? ([["on a part of the processors", `${name} --workers 2`]] as const) : []),
    ],
    async run(context, values) {
      const workers = workersOf(name, values.workers);
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
      const load = (before?: ConfigSource["loaded"]) =>
        withOptions(loadConfig({ file: context.configFile, ...(before === undefined ? {} : { before }) }));
      const grace = graceMs(values.grace);
      const supervisor = values["worker-of"];
      const sockets = takeSockets(name, config, values);
      const healthFile = values["health-file"];
      if (workers > 1 && supervisor === undefined && (name === "ingress" || name === "delivery")) {
        const args = [name, "-c", file, ...sameOptions(values)];
        const start = values.user !== undefined && usesClientAddresses(config) ? withNetAdmin : undefined;
        await runWorkers({
          name,
          count: workers,
          config,
          load,
          args,
          given: sockets,
          start,
          graceMs: grace,
          healthFile,
        });
      } else {
        // A service is a program of its own: it is started by its path, and never imported.
        const program = new URL(`../${name}/main.ts`, import.meta.url);
        const { main } = (await import(program.href)) as { main: ServiceMain };
        const worker = supervisor === undefined ? {} : { worker: { url: supervisor, of: workers } };
        const source: ConfigSource = { loaded, load };
        await main({ config, configFile: file, source, graceMs: grace, healthFile, sockets, ...worker });
      }
      // A signal ends the process.
      return new Promise<never>(() => {});
    },
  });
}

/** By default a process for each processor, as far as the control group of a container lets it use them. @throws UsageError */
function workersOf(name: ServiceName, given: string | undefined): number {
  if (name !== "ingress" && name !== "delivery") {
    if (given !== undefined) throw new UsageError("takes no --workers: one process is enough for it");
    return 1;
  }
  if (given !== undefined) return workerCount(given);
  // Elsewhere no socket can be opened for several processes.
  return name === "delivery" || process.platform === "linux" ? availableParallelism() : 1;
}

/** The options that hold for the workers, too. */
function sameOptions(values: { grace?: string | undefined; redis?: string | undefined }): string[] {
  return (["grace", "redis"] as const).flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [`--${name}`, value];
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
