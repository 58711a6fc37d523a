/** `postern spool copy`: hands the mail of this gateway, whose services are stopped, to the spool of another. */
import { existsSync, realpathSync, statSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { handedOverPlace, handOverHolds } from "../../../shared/queue/holds/file.ts";
import { cancelHandover, handOver, isSpool } from "../../../shared/spool/handover/handover.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/command.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { lockDirectory } from "../up/directory-lock.ts";
import { whyNotStopped } from "./stopped.ts";

export const command = defineCommand({
  usage: "--to DIRECTORY | --cancel [--stopped] [--json]",
  details: [
    "Hands all mail that is not settled to the spool of another gateway, which has a Redis of its own and may be running: messages with the states of their recipients, deferred, held and dead ones too, and the hold rules.",
    "First 'postern drain', then stop the services: they do not start while this is under way. Interrupted, also by a crash, the same command goes on; no message is lost, and none is in both spools. Until all is copied, --cancel gives it up.",
    "Exit status: 0; 1 when it cannot be done, or messages cannot be read (they stay, and are named).",
  ].join("\n"),
  options: {
    to: {
      type: "string",
      value: "DIRECTORY",
      help: "the spool of the other gateway: DATA/spool of its 'data'",
    },
    cancel: { type: "boolean", help: "end a copy that was interrupted; nothing was handed over then" },
    stopped: { type: "boolean", help: "do not look whether services are running: all of them are stopped" },
    json: { type: "boolean", help: "print { messages, recipients, holds, unreadable }" },
  },
  examples: [
    ["the mail of a host that is taken away", "spool copy --to /mnt/gw2/postern/spool"],
    ["the services are to be started here again instead", "spool copy --cancel"],
  ],
  async run(context, { to, cancel, stopped, json }) {
    if ((to === undefined) !== cancel) throw new UsageError("needs either --to DIRECTORY or --cancel");
    const { config } = requireConfig(context);
    const from = path.join(path.resolve(config.data), "spool");
    if (!isSpool(from)) throw new CommandFailed(`${from} is no spool`);
    mustOwn(from);
    const unlock = lockDirectory(path.dirname(from));
    if (unlock === undefined) throw new CommandFailed("'postern up' is running on this spool: stop it first");
    try {
      const why = stopped ? undefined : await whyNotStopped(config, from);
      if (why !== undefined)
        throw new CommandFailed(`${why}; stop them first, or say --stopped when you have`);
      if (to === undefined) {
        const wasBegun = await cancelHandover(from).catch(asFailure);
        context.stdout.write(wasBegun ? "nothing was handed over\n" : "no copy is under way\n");
        return wasBegun ? 0 : 1;
      }
      const target = targetOf(to, from);
      let holds = 0;
      const say = (line: string): void => {
        if (!json) context.stdout.write(`${line}\n`);
      };
      const report = await handOver({
        from,
        to: target,
        async beforeCommit() {
          holds = await handOverHolds(holdsIn(from), holdsIn(target), Date.now());
          if (holds > 0) await taken(handedOverPlace(holdsIn(target)));
        },
        progress: ({ phase, messages }) =>
          say(phase === "copying" ? `copied ${messages} messages` : `handed over ${messages} messages`),
      }).catch(asFailure);
      const { messages, recipients, unreadable } = report;
      if (json)
        context.stdout.write(`${JSON.stringify({ messages, recipients, holds, unreadable }, null, 2)}\n`);
      say(describe(messages, holds, target));
      for (const id of unreadable)
        context.stderr.write(`postern: ${id} cannot be read, and stays in ${from}\n`);
      return unreadable.length > 0 ? 1 : 0;
    } finally {
      unlock();
    }
  },
});

function holdsIn(spool: string): string {
  return path.join(spool, "holds.json");
}

/** @throws CommandFailed */
function targetOf(given: string, from: string): string {
  const target = path.resolve(given);
  if (!isSpool(target) && isSpool(path.join(target, "spool")))
    throw new CommandFailed(`${target} is a data directory: its spool is ${path.join(target, "spool")}`);
  if (!existsSync(path.dirname(target))) throw new CommandFailed(`${path.dirname(target)} is not there`);
  if (!existsSync(target)) return target;
  if (realpathSync(target) === realpathSync(from)) throw new CommandFailed(`${target} is this spool itself`);
  mustOwn(target);
  return target;
}

/** The services of a spool must be able to read and remove what is made in it. @throws CommandFailed */
function mustOwn(directory: string): void {
  const { uid } = statSync(directory);
  if (process.getuid !== undefined && process.getuid() !== uid)
    throw new CommandFailed(`${directory} belongs to the user with the id ${uid}: run this as that user`);
}

/** A gateway that is running takes the rules within seconds; another does so before it delivers anything. */
const takenMs = 30_000;

async function taken(place: string): Promise<void> {
  for (const untilMs = performance.now() + takenMs; performance.now() < untilMs && existsSync(place); )
    await wait(200);
}

function asFailure(error: Error): never {
  throw new CommandFailed(error.message);
}

function describe(messages: number, holds: number, target: string): string {
  const rules = holds === 0 ? "" : `, and ${holds} hold rules`;
  return messages === 0
    ? `there was no mail to hand over${rules}`
    : `${messages} messages are in ${target} now${rules}; what Redis has of them here may be deleted`;
}
