/** `postern queue export`: messages as they were received, to standard output, a file, or a directory. Owns the files it writes. */
import { createWriteStream } from "node:fs";
import { mkdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { connectToAdmin } from "../admin-api/admin-connection.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/args.ts";
import { messagesOf, rawMessage } from "./queue-api.ts";
import { sayUnknown } from "./queue-output.ts";
import { filterOptions, manyIds, readTarget, targetUsage } from "./queue-target.ts";

export const queueExport = defineCommand({
  name: "queue export",
  summary: "Write messages with their original header fields",
  usage: `${targetUsage} [-o FILE|DIRECTORY]`,
  options: {
    ...filterOptions,
    output: {
      type: "string",
      short: "o",
      value: "FILE",
      help: "else standard output; a directory, which several messages need, gets ID.eml files",
    },
  },
  positionals: manyIds,
  async run(context, values, words) {
    const target = readTarget(values, words);
    const client = await connectToAdmin(context);
    const { ids, unknown } = await messagesOf(client, target);
    const { output } = values;
    const intoDirectory = output !== undefined && (ids.length > 1 || (await isDirectory(output)));
    if (ids.length > 1 && output === undefined) {
      throw new UsageError(`needs -o DIRECTORY for ${ids.length} messages`);
    }
    if (intoDirectory) await mkdir(output, { recursive: true }).catch(cannotWrite(output));
    for (const id of ids) {
      const message = await rawMessage(client, id);
      if (message === undefined) {
        unknown.push(id);
        continue;
      }
      if (output === undefined) await toStandardOutput(message);
      else await toFile(message, intoDirectory ? path.join(output, `${id}.eml`) : output);
    }
    return sayUnknown(context, unknown);
  },
});

async function isDirectory(name: string): Promise<boolean> {
  if (name.endsWith(path.sep)) return true;
  return (await stat(name).catch(() => undefined))?.isDirectory() === true;
}

/** Octets, hence past the context, which takes text. */
async function toStandardOutput(message: Readable): Promise<void> {
  await pipeline(message, process.stdout, { end: false }).catch((error: Error) => {
    throw new CommandFailed(`the message ended early: ${error.message}`);
  });
}

/** Whole or not at all. */
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
