/** `postern user add`: a user of `auth.users.file`, or a new password of one. */
import { hashPassword } from "../../../shared/users/password-hash.ts";
import { normalizePassword, withUser } from "../../../shared/users/user-list.ts";
import { CommandFailed, defineCommand } from "../command-line/command.ts";
import { readPassword } from "./read-password.ts";
import { readUsers } from "./read-users.ts";
import { changeUsers, newName, userFile } from "./user-file.ts";

export const command = defineCommand({
  usage: "NAME [--replace]",
  options: {
    replace: { type: "boolean", help: "give a user who is there a new password" },
  },
  positionals: { min: 1, max: 1 },
  examples: [
    ["asks for the password twice", "user add ann@example.net"],
    ["a new password, by one line of standard input", "user add ann@example.net --replace < password.txt"],
  ],
  async run(context, { replace }, [given = ""]) {
    const { config, file } = userFile(context);
    const name = newName(given);
    const known = readUsers(file).has(name);
    if (known && !replace) throw new CommandFailed(`${name} is there already; --replace sets a new password`);
    if (!known && replace) throw new CommandFailed(`${file} has no user ${name}`);
    const hash = await hashPassword(normalizePassword(await readPassword(context.stdin, context.stderr)));
    await changeUsers(config, file, (text) => withUser(text, name, hash));
    context.stdout.write(`${replace ? "changed" : "added"} ${name}\n`);
    return 0;
  },
});
