/** `postern queue import`: stores messages in the spool and schedules them, each once. */
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type ImportedMessage, readMessages } from "../../../shared/mail/import-source.ts";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { CommandFailed, defineCommand } from "../command-line/command.ts";
import { withProgress } from "../command-line/spinner.ts";
import { printable } from "../command-line/table.ts";
import { formatCount } from "../command-line/wrap.ts";

const answerSchema = z.object({ id: z.string(), status: z.enum(["queued", "known"]) });

export const command = defineCommand({
  usage: "FILE|DIRECTORY... [--from ADDRESS] [--to ADDRESS...] [--json]",
  details:
    "A file is one message, or an mbox; of a directory, all files that end in .eml. The envelope is that of\n" +
    "'queue export --envelope', else --from and --to; in an mbox the sender is that of its From line. A message is on\n" +
    "stable storage when its line is printed. What was imported before is left alone, so that the command may be repeated.",
  options: {
    from: {
      type: "string",
      value: "ADDRESS",
      help: "the sender, in place of the file's; '<>' is the null sender",
    },
    to: {
      type: "string",
      multiple: true,
      value: "ADDRESS",
      help: "a recipient, in place of the file's; may be repeated",
    },
    json: { type: "boolean", help: "print an array of { file, id, status }, status queued or known" },
  },
  positionals: { min: 1, max: 10_000 },
  usesAdmin: true,
  examples: [
    ["what 'queue export --envelope -o mails/' wrote", "queue import mails/"],
    ["a mailbox of another system", "queue import mbox --to ann@example.com"],
  ],
  async run(context, { from, to, json }, words) {
    const client = await connectToAdmin(context);
    const files = (await Promise.all(words.map(filesOf))).flat();
    const results: { file: string; id: string; status: string }[] = [];
    await withProgress(context, "reading the first file", async (show) => {
      for (const [index, file] of files.entries()) {
        const messages = readMessages(await read(file));
        for (const [before, message] of messages.entries()) {
          show(
            progressOf({
              done: results.length,
              file,
              before,
              of: messages.length,
              index,
              files: files.length,
            }),
          );
          const answer = answerSchema.parse(
            await client.post("/api/v1/messages", bodyOf(file, message, from, to)),
          );
          results.push({ file, ...answer });
          if (!json) context.stdout.write(`${answer.id} ${answer.status} ${printable(file)}\n`);
        }
      }
    });
    if (json) context.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
    return results.length === 0 ? 1 : 0;
  },
});

interface Progress {
  /** Messages of all files. */
  done: number;
  file: string;
  /** Messages of this file that were imported before, and all of it. */
  before: number;
  of: number;
  index: number;
  files: number;
}

/** `imported 120 messages; mbox, 20 of 512`; of several files `file 3 of 7` stands in between. */
function progressOf({ done, file, before, of, index, files }: Progress): string {
  const which = files === 1 ? "" : ` file ${index + 1} of ${files},`;
  const within = of === 1 ? "" : `, ${before} of ${of}`;
  return `imported ${formatCount(done, "message")};${which} ${path.basename(file)}${within}`;
}

function bodyOf(file: string, message: ImportedMessage, from: string | undefined, to: string[]) {
  const sender = from ?? message.from;
  const recipients = to.length > 0 ? to : message.to;
  if (sender === undefined) throw new CommandFailed(`${file} does not say who sent it: give --from ADDRESS`);
  if (recipients.length === 0)
    throw new CommandFailed(`${file} does not say whom it is for: give --to ADDRESS`);
  return {
    from: sender === "<>" ? "" : sender,
    to: recipients,
    message: message.octets.toString("base64"),
    // Other recipients are another import.
    ...(message.id === undefined || to.length > 0 || from !== undefined ? {} : { id: message.id }),
  };
}

async function filesOf(name: string): Promise<string[]> {
  try {
    if (!(await stat(name)).isDirectory()) return [name];
    const names = (await readdir(name)).filter((each) => each.endsWith(".eml")).sort();
    return names.map((each) => path.join(name, each));
  } catch (error) {
    throw new CommandFailed(`cannot read ${name}: ${(error as Error).message}`);
  }
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new CommandFailed(`cannot read ${file}: ${(error as Error).message}`);
  }
}
