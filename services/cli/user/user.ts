/** `postern user`: the users of `auth.users.file`. The services read the file again by themselves. */
import { statSync } from "node:fs";
import type { Config } from "../../../shared/config/schema.ts";
import { formatPasswordHash, hashPassword } from "../../../shared/users/password-hash.ts";
import { checkNewName, normalizePassword, withoutUser, withUser } from "../../../shared/users/user-list.ts";
import { changeUserFile, UserFileBusy } from "../../../shared/users/write-user-file.ts";
import {
  type Command,
  CommandFailed,
  type Context,
  defineCommand,
  UsageError,
} from "../command-line/args.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { renderTable } from "../command-line/table.ts";
import { readPassword } from "./read-password.ts";
import { readUsers, usersIn } from "./read-users.ts";

const add = defineCommand({
  name: "user add",
  summary: "Add a user who may log in; asks for the password, or reads one line of standard input",
  usage: "NAME [--replace]",
  options: {
    replace: { type: "boolean", help: "give a user who is there a new password" },
  },
  positionals: { min: 1, max: 1 },
  async run(context, { replace }, [given = ""]) {
    const { config, file } = userFile(context);
    const name = newName(given);
    const known = readUsers(file).has(name);
    if (known && !replace) throw new CommandFailed(`${name} is there already; --replace sets a new password`);
    if (!known && replace) throw new CommandFailed(`${file} has no user ${name}`);
    const hash = await hashPassword(normalizePassword(await readPassword(context.stdin, context.stderr)));
    await change(config, file, (text) => withUser(text, name, hash));
    context.stdout.write(`${replace ? "changed" : "added"} ${name}\n`);
    return 0;
  },
});

const remove = defineCommand({
  name: "user remove",
  summary: "Remove a user; sessions that are logged in go on until they end",
  usage: "NAME",
  options: {},
  positionals: { min: 1, max: 1 },
  async run(context, _, [given = ""]) {
    const { config, file } = userFile(context);
    const name = newName(given);
    await change(config, file, (text) => {
      if (!usersIn(file, text).has(name)) throw new CommandFailed(`${file} has no user ${name}`);
      return withoutUser(text, name);
    });
    context.stdout.write(`removed ${name}\n`);
    return 0;
  },
});

const list = defineCommand({
  name: "user list",
  summary: "List the users who may log in",
  usage: "[--json]",
  options: {
    json: { type: "boolean", help: 'print JSON: an array of { name, hash }, hash as "scrypt$32768$8$1"' },
  },
  async run(context, { json }) {
    const { file } = userFile(context);
    const rows = [...readUsers(file)].map(([name, hash]) => ({
      name,
      hash: formatPasswordHash(hash).split("$").slice(0, 4).join("$"),
    }));
    if (json) {
      context.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
      return 0;
    }
    const table = renderTable<(typeof rows)[number]>(
      [
        { title: "USER", value: ({ name }) => name },
        { title: "HASH", value: ({ hash }) => hash },
      ],
      rows,
      context.stdout.columns ?? Number.POSITIVE_INFINITY,
    );
    context.stdout.write(rows.length === 0 ? `${file} has no users\n` : `${table.join("\n")}\n`);
    return 0;
  },
});

export const userCommands: Command[] = [add, remove, list];

function userFile(context: Context): { config: Config; file: string } {
  const { config, file } = requireConfig(context);
  if (config.auth?.users === undefined)
    throw new CommandFailed(`${file} has no auth.users.file: there are no users of the gateway's own`);
  return { config, file: config.auth.users.file };
}

function newName(given: string): string {
  const checked = checkNewName(given);
  if (typeof checked === "string") throw new UsageError(`needs a user name: '${given}' ${checked}`);
  return checked.name;
}

/** A new file belongs to the owner of `data`: who runs the services, whoever runs this command. */
async function change(config: Config, file: string, edit: (text: string) => string): Promise<void> {
  try {
    await changeUserFile(file, statSync(config.data, { throwIfNoEntry: false }), edit);
  } catch (error) {
    if (error instanceof UserFileBusy) throw new CommandFailed(error.message);
    if (error instanceof CommandFailed || error instanceof UsageError) throw error;
    throw new CommandFailed(`${file} cannot be written: ${(error as Error).message}`);
  }
}
