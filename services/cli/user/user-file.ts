/** The file of `auth.users`: where it is, and how commands change it. The services read it again by themselves. */
import { statSync } from "node:fs";
import type { Config } from "../../../shared/config/schema.ts";
import { checkNewName } from "../../../shared/users/user-list.ts";
import { changeUserFile, UserFileBusy } from "../../../shared/users/write-user-file.ts";
import { CommandFailed, type Context, UsageError } from "../command-line/command.ts";
import { requireConfig } from "../command-line/common-options.ts";

export function userFile(context: Context): { config: Config; file: string } {
  const { config, file } = requireConfig(context);
  if (config.auth?.users === undefined)
    throw new CommandFailed(`${file} has no auth.users.file: there are no users of the gateway's own`);
  return { config, file: config.auth.users.file };
}

export function newName(given: string): string {
  const checked = checkNewName(given);
  if (typeof checked === "string") throw new UsageError(`needs a user name: '${given}' ${checked}`);
  return checked.name;
}

/** A new file belongs to the owner of `data`: who runs the services, whoever runs this command. */
export async function changeUsers(
  config: Config,
  file: string,
  edit: (text: string) => string,
): Promise<void> {
  try {
    await changeUserFile(file, statSync(config.data, { throwIfNoEntry: false }), edit);
  } catch (error) {
    if (error instanceof UserFileBusy) throw new CommandFailed(error.message);
    if (error instanceof CommandFailed || error instanceof UsageError) throw error;
    throw new CommandFailed(`${file} cannot be written: ${(error as Error).message}`);
  }
}
