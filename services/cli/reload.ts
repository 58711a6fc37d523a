/** `postern reload`: every process on every host reads its configuration again, when all of them can take it. */
import { z } from "zod";
import { describeConfigErrors, loadConfig } from "../../shared/config/load.ts";
import { type AdminClient, AdminRefused, AdminUnreachable } from "./admin-api/admin-client.ts";
import { connectToAdmin, connectToAnnouncedAdmin } from "./admin-api/admin-connection.ts";
import { CommandFailed, type Context, defineCommand } from "./command-line/command.ts";
import { renderTable } from "./command-line/table.ts";

const reportSchema = z.object({
  state: z.enum(["taken", "invalid", "incomplete"]),
  services: z.array(
    z.object({
      name: z.string(),
      host: z.string(),
      pid: z.int(),
      state: z.string(),
      errors: z.array(z.string()),
      changed: z.array(z.string()),
      restart: z.array(z.string()),
      rolling: z.array(z.string()).default([]),
    }),
  ),
});
type Report = z.infer<typeof reportSchema>;
type Process = Report["services"][number];

const exitStatus = { taken: 0, incomplete: 1, invalid: 2 } as const;

export const command = defineCommand({
  usage: "[--json]",
  details: `Each process reads the file that it was started with. New sessions and new attempts follow the new configuration; those
that are under way end as they began. Exit status: 0 when all processes have taken it; 2 when it has errors, and then none
has; 1 when not all could be asked. SIGHUP to 'postern up', or to a service, reloads without the admin.`,
  options: {
    json: {
      type: "boolean",
      help: "print { state, services: [{ name, host, pid, state, errors, changed, restart, rolling }] }",
    },
  },
  usesAdmin: true,
  examples: [
    ["after a change of postern.yaml", "reload"],
    ["only look for errors", "config check"],
  ],
  async run(context, { json }) {
    if (context.admin.url === undefined) {
      const loaded = loadConfig({ file: context.configFile });
      if (loaded.kind === "invalid") {
        for (const line of describeConfigErrors(loaded)) context.stderr.write(`${line}\n`);
        context.stderr.write("postern: no process was asked; the configuration before stays in force\n");
        return 2;
      }
    }
    const report = reportSchema.parse(await askAdmin(context));
    if (json) context.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    else print(context, report);
    return exitStatus[report.state];
  },
});

/** The admin that runs has the address and the token of the configuration before. */
async function askAdmin(context: Context): Promise<unknown> {
  const ask = (client: AdminClient) => client.post("/api/v1/reload", {});
  try {
    return await ask(await connectToAdmin(context)).catch(async (error) => {
      if (!(error instanceof AdminUnreachable) || context.admin.url !== undefined) throw error;
      const other = await connectToAnnouncedAdmin(context);
      if (other === undefined) throw error;
      return ask(other);
    });
  } catch (error) {
    if (!(error instanceof AdminRefused) || error.status !== 401) throw error;
    throw new CommandFailed(
      `${error.message} If the token has changed in the file, give the one before with --token, or send SIGHUP`,
    );
  }
}

function print({ stdout, stderr }: Context, { state, services }: Report): void {
  const columns = [
    { title: "SERVICE", value: ({ name }: Process) => name },
    { title: "HOST", value: ({ host }: Process) => host, shrinkTo: 8 },
    { title: "PID", value: ({ pid }: Process) => `${pid}`, align: "right" as const },
    { title: "CONFIGURATION", value: describeState },
  ];
  for (const line of renderTable(columns, services, stdout.columns ?? 80)) stdout.write(`${line}\n`);
  for (const error of unique(services.flatMap(({ errors }) => errors))) stderr.write(`${error}\n`);
  stdout.write(`${describeReport(state, services)}\n`);
  for (const key of unique(services.flatMap(({ rolling }) => rolling)))
    stdout.write(
      `in force when the workers of ${namesWith("rolling", key, services)} are restarted, which has begun: ${key}\n`,
    );
  for (const key of unique(services.flatMap(({ restart }) => restart))) {
    const names = namesWith("restart", key, services);
    stdout.write(`in force when ${names} ${names.includes(",") ? "are" : "is"} started again: ${key}\n`);
  }
}

/** The services that have the key in this list, as text. */
function namesWith(list: "restart" | "rolling", key: string, services: readonly Process[]): string {
  return unique(services.filter((each) => each[list].includes(key)).map(({ name }) => name)).join(", ");
}

function describeState({ state }: Process): string {
  switch (state) {
    case "taken":
      return "taken";
    case "checked":
      return "valid, not taken";
    case "invalid":
      return "has errors";
    case "failed":
      return "cannot be taken";
    case "old-version":
      return "not asked: a version before, start it again";
    default:
      return "no answer";
  }
}

function describeReport(state: Report["state"], services: readonly Process[]): string {
  const changed = unique(services.flatMap(({ changed }) => changed));
  switch (state) {
    case "taken":
      return changed.length === 0 ? "nothing in force has changed" : `in force now: ${changed.join(", ")}`;
    case "invalid":
      return "the configuration before stays in force everywhere";
    case "incomplete":
      return "not every process has taken the configuration";
  }
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
