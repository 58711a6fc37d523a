/** `postern user remove`: removes a user of `auth.users.file`. */
import { withoutUser } from "../../../shared/users/user-list.ts";
import { CommandFailed, defineCommand } from "../command-line/command.ts";
import { usersIn } from "./read-users.ts";
import { changeUsers, newName, userFile } from "./user-file.ts";

export const command = defineCommand({
  usage: "NAME",
  options: {},
  positionals: { min: 1, max: 1 },
  examples: [["who has left", "user remove ann@example.net"]],
  async run(context, _, [given = ""]) {
    const { config, file } = userFile(context);
    const name = newName(given);
    await changeUsers(config, file, (text) => {
      if (!usersIn(file, text).has(name)) throw new CommandFailed(`${file} has no user ${name}`);
      return withoutUser(text, name);
    });
    context.stdout.write(`removed ${name}\n`);
    return 0;
  },
});
