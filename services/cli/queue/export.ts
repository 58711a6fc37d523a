/** `postern queue export`: writes messages as they were received to standard output, a file or a directory. */
import { createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/command.ts";
import { withProgress, withSpinner } from "../command-line/spinner.ts";
import { formatCount } from "../command-line/wrap.ts";
import { type Detail, messagesOf, rawMessage, showMessage } from "./queue-api.ts";
import { filterOptions, manyIds, readSelection, selectionUsage } from "./queue-selection.ts";
import { printUnknown } from "./queue-view.ts";

export const command = defineCommand({
  usage: `${selectionUsage} [--envelope] [-o FILE|DIRECTORY]`,
  options: {
    ...filterOptions,
    envelope: {
      type: "boolean",
      help: "begin with the envelope, X-Postern-… fields, for 'queue import': sender and unsettled recipients",
    },
    output: {
      type: "string",
      short: "o",
      value: "FILE",
      help: "default: standard output; a directory, which several messages need, gets ID.eml files",
    },
  },
  positionals: manyIds,
  usesAdmin: true,
  examples: [
    ["one message, to read it", "queue export 1CB45TNPQ8SWA7XH0 | less"],
    [
      "all mail to one domain, to import it elsewhere",
      "queue export --to '*@example.com' --envelope -o mails/",
    ],
  ],
  async run(context, values, words) {
    const selection = readSelection(values, words);
    const client = await connectToAdmin(context);
    const { ids, unknown } = await withSpinner(context, "looking for the messages", () =>
      messagesOf(client, selection),
    );
    const { output } = values;
    const intoDirectory = output !== undefined && (ids.length > 1 || (await isDirectory(output)));
    if (ids.length > 1 && output === undefined) {
      throw new UsageError(`needs -o DIRECTORY for ${ids.length} messages`);
    }
    if (intoDirectory) await mkdir(output, { recursive: true }).catch(cannotWrite(output));
    const exportOne = async (id: string): Promise<void> => {
      const message = await rawMessage(client, id);
      const detail = values.envelope ? await showMessage(client, id) : undefined;
      if (message === undefined || (values.envelope && detail === undefined)) {
        message?.destroy();
        unknown.push(id);
        return;
      }
      const whole = detail === undefined ? message : Readable.from(prefixed(envelopeFields(detail), message));
      if (output === undefined) await toStandardOutput(whole);
      else await toFile(whole, intoDirectory ? path.join(output, `${id}.eml`) : output);
    };
    if (output === undefined) {
      // Nothing stands between the octets of a message on the same terminal.
      for (const id of ids) await exportOne(id);
      return printUnknown(context, unknown);
    }
    await withProgress(context, `exported 0 of ${formatCount(ids.length, "message")}`, async (show) => {
      for (const [done, id] of ids.entries()) {
        show(`exported ${done} of ${formatCount(ids.length, "message")}`);
        await exportOne(id);
      }
    });
    return printUnknown(context, unknown);
  },
});

/** The recipients that have neither the message nor a report of its failure. */
function envelopeFields({ id, envelope, recipients }: Detail): string {
  const open = recipients.filter(({ state }) => ["pending", "failed", "dead"].includes(state));
  const fields = [`X-Postern-Id: ${id}`, `X-Postern-From: <${envelope.from}>`];
  return [...fields, ...open.map(({ address }) => `X-Postern-To: <${address}>`), ""].join("\r\n");
}

async function* prefixed(first: string, rest: Readable): AsyncGenerator<Buffer> {
  yield Buffer.from(first);
  yield* rest;
}

async function isDirectory(name: string): Promise<boolean> {
  if (name.endsWith(path.sep)) return true;
  return (await stat(name).catch(() => undefined))?.isDirectory() === true;
}

/** Writes octets to standard output itself, since the context takes text only. */
async function toStandardOutput(message: Readable): Promise<void> {
  await pipeline(message, process.stdout, { end: false }).catch((error: Error) => {
    throw new CommandFailed(`the message was cut short: ${error.message}`);
  });
}

/** Removes the file again when the message is cut short. */
async function toFile(message: Readable, file: string): Promise<void> {
  try {
    await pipeline(message, createWriteStream(file));
  } catch (error) {
    await rm(file, { force: true }).catch(() => {});
    cannotWrite(file)(error);
  }
}

function cannotWrite(file: string): (error: unknown) => never {
  return (error) => {
    throw new CommandFailed(`cannot write ${file}: ${error instanceof Error ? error.message : error}`);
  };
}
