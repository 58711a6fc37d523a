/** `postern config show`: the configuration with every default, and without secrets. */
import { z } from "zod";
import { showConfig } from "../../shared/config/show-config.ts";
import { formatYaml } from "../../shared/config/source.ts";
import { connectToAdmin } from "./admin-api/admin-connection.ts";
import { defineCommand } from "./command-line/command.ts";
import { requireConfig } from "./command-line/common-options.ts";

const answerSchema = z.object({ config: z.record(z.string(), z.unknown()) });

export const command = defineCommand({
  usage: "[--running] [--json]",
  details:
    "Passwords and tokens are shown as ***. Every default is there, and file names as they are found.\n" +
    "Without --running it is the file; a service that started before the file was changed has another.",
  options: {
    running: { type: "boolean", help: "what the admin has in force, in place of the file" },
    json: { type: "boolean", help: "print JSON in place of YAML" },
  },
  usesAdmin: true,
  examples: [
    ["every key and its value", "config show"],
    ["what is not in force yet", "config show --running | diff - <(postern config show)"],
    ["one value, in a script", "config show --json | jq -r .queue.expire"],
  ],
  async run(context, { running, json }) {
    const asks = running || context.admin.url !== undefined;
    const config = asks
      ? answerSchema.parse(await (await connectToAdmin(context)).get("/api/v1/config")).config
      : showConfig(requireConfig(context).config);
    context.stdout.write(json ? `${JSON.stringify(config, null, 2)}\n` : formatYaml(config));
    return 0;
  },
});
