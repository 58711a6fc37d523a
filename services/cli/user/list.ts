/** `postern user list`: the users of `auth.users.file`. */
import { formatPasswordHash } from "../../../shared/users/password-hash.ts";
import { defineCommand } from "../command-line/command.ts";
import { renderTable } from "../command-line/table.ts";
import { readUsers } from "./read-users.ts";
import { userFile } from "./user-file.ts";

export const command = defineCommand({
  usage: "[--json]",
  options: {
    json: { type: "boolean", help: 'print JSON: an array of { name, hash }, hash as "scrypt$32768$8$1"' },
  },
  examples: [
    ["who may log in", "user list"],
    ["names only", "user list --json | jq -r '.[].name'"],
  ],
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
