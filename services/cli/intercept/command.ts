/** The commands `postern intercept up`, `down` and `show`. */
import { CommandFailed, defineCommand } from "../command-line/args.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { interceptDown, interceptStatus, interceptUp } from "./intercept.ts";
import type { Plan } from "./plan.ts";

export const interceptCommands = [
  defineCommand({
    name: "intercept up",
    summary: "Let the kernel hand sessions to the configured ports to the listeners; may be repeated",
    usage: "",
    options: {},
    async run(context) {
      const { config } = requireConfig(context);
      const plan = attempt(() => interceptUp(config));
      for (const warning of plan.warnings) context.stderr.write(`postern: ${warning}\n`);
      context.stdout.write(`${describePlan(plan)}\n`);
      return 0;
    },
  }),
  defineCommand({
    name: "intercept down",
    summary: "Remove the rules, and restore routes and sysctls",
    usage: "",
    options: {},
    async run() {
      attempt(interceptDown);
      return 0;
    },
  }),
  defineCommand({
    name: "intercept show",
    summary: "Show what is up and what is missing; exit status 1 unless everything is up",
    usage: "[--json]",
    options: { json: { type: "boolean", help: "print { isUp, missing, plan, wanted, table, sysctls }" } },
    async run(context, { json }) {
      const { config } = requireConfig(context);
      const status = attempt(() => interceptStatus(config));
      if (json) {
        context.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
        return status.isUp ? 0 : 1;
      }
      const lines = [
        `${status.isUp ? "up" : "not up"}: ${describePlan(status.plan)}`,
        ...status.missing.map((item) => `missing: ${item}`),
        ...Object.entries(status.sysctls).map(
          ([name, value]) => `changed: net/${name}, to be restored to ${value}`,
        ),
        status.table ?? status.wanted,
      ];
      context.stdout.write(`${lines.join("\n").trimEnd()}\n`);
      return status.isUp ? 0 : 1;
    },
  }),
];

function describePlan({ targets, ports, interfaces, fail }: Plan): string {
  if (targets.length === 0)
    return "no port is intercepted; only replies to sessions with hide are routed to this gateway";
  const to = targets.map(
    ({ family, how, listener }) => `${family === "ip" ? "IPv4" : "IPv6"} to ${listener} (${how})`,
  );
  return `TCP ports ${ports.join(", ")} from ${interfaces?.join(", ") ?? "all interfaces but loopback"}: ${to.join(", ")}; fail ${fail}`;
}

function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new CommandFailed((error as Error).message);
  }
}
