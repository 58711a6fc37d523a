/** `postern spool copy`: hands the mail of this gateway, whose services are stopped, to the spool of another. */
import { existsSync } from "node:fs";
import path from "node:path";
import type { Config } from "../../../shared/config/schema.ts";
import { storeName } from "../../../shared/runtime/open-spool.ts";
import { isSpool } from "../../../shared/spool/handover/directory-ends.ts";
import { cancelHandover, handOver } from "../../../shared/spool/handover/handover.ts";
import { CommandFailed, defineCommand, UsageError } from "../command-line/command.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { lockDirectory } from "../up/directory-lock.ts";
import { type Destination, destinationOf, Ends, isSame, isSameStore, mustOwn } from "./ends.ts";
import { mustTakeRules, takeRules } from "./hold-rules.ts";
import { whyNotStopped } from "./stopped.ts";

export const command = defineCommand({
  usage: "--to DIRECTORY|FILE [--without-holds] | --cancel [--to FILE] [--stopped] [--json]",
  details: [
    "Hands all mail that is not settled to the spool of another gateway, which has a Redis of its own: messages with the states of their recipients, deferred, held and dead ones too, and the hold rules.",
    "Either spool may be in a store ('spool.s3'). A gateway that gets mail into a directory may be running; one that gets it into its store has to be stopped, too.",
    "First 'postern drain', then stop the services: they do not start while this is under way. Interrupted, also by a crash, the same command goes on; no message is lost, and none is in both spools. Until all is copied, --cancel gives it up.",
    "Exit status: 0; 1 when it cannot be done, or messages cannot be read (they stay, and are named).",
  ].join("\n"),
  options: {
    to: {
      type: "string",
      value: "PLACE",
      help: "the other spool: its directory, DATA/spool of its 'data', or the configuration file of its gateway",
    },
    cancel: { type: "boolean", help: "end a copy that was interrupted; nothing was handed over then" },
    stopped: { type: "boolean", help: "do not look whether services are running: all of them are stopped" },
    "without-holds": { type: "boolean", help: "leave the hold rules: the other gateway has them already" },
    json: { type: "boolean", help: "print { messages, recipients, holds, unreadable }" },
  },
  examples: [
    ["the mail of a host that is taken away", "spool copy --to /mnt/gw2/postern/spool"],
    [
      "from the disk into a store, 'spool.s3' in the new configuration",
      "spool copy --to /etc/postern/store.yaml",
    ],
    ["the services are to be started here again instead", "spool copy --cancel"],
  ],
  async run(context, { to, cancel, stopped, "without-holds": withoutHolds, json }) {
    if (to === undefined && !cancel) throw new UsageError("needs --to DIRECTORY, --to FILE or --cancel");
    const { config } = requireConfig(context);
    const data = path.resolve(config.data);
    const from = path.join(data, "spool");
    const { s3 } = config.spool;
    if (s3 === undefined && !isSpool(from)) throw new CommandFailed(`${from} is no spool`);
    if (!existsSync(data)) throw new CommandFailed(`${data} is not there: run this on a host of the gateway`);
    mustOwn(s3 === undefined ? from : data);
    const target = to === undefined ? undefined : destinationOf(to, s3 === undefined ? from : "");
    if (s3 !== undefined && target?.s3 !== undefined && isSameStore(s3, target.s3))
      throw new CommandFailed(`${storeName(target.s3)} is this spool itself`);
    const ends = new Ends();
    try {
      const unlock = lockDirectory(data);
      if (unlock === undefined)
        throw new CommandFailed("'postern up' is running on this spool: stop it first");
      ends.onRelease(unlock);
      if (!stopped) await mustBeStopped(config, from, target, ends);
      const [source, other] = [
        await ends.open({ directory: from, ...(s3 && { s3 }) }, data),
        target && (await ends.open(target, data)),
      ];
      if (cancel) {
        const wasBegun = await cancelHandover(source, other).catch(asFailure);
        context.stdout.write(wasBegun ? "nothing was handed over\n" : "no copy is under way\n");
        return wasBegun ? 0 : 1;
      }
      if (target === undefined || other === undefined) return 1;
      const [here, there] = [nameOf(source), nameOf(other)];
      if (!withoutHolds) await mustTakeRules(from, target);
      let holds = 0;
      const say = (line: string): void => {
        if (!json) context.stdout.write(`${line}\n`);
      };
      const report = await handOver({
        from: source,
        to: other,
        async beforeCommit() {
          if (!withoutHolds) holds = await takeRules(from, target);
        },
        progress: ({ phase, messages }) =>
          say(phase === "copying" ? `copied ${messages} messages` : `handed over ${messages} messages`),
      }).catch(asFailure);
      const { messages, recipients, unreadable } = report;
      if (json)
        context.stdout.write(`${JSON.stringify({ messages, recipients, holds, unreadable }, null, 2)}\n`);
      say(describe(messages, holds, there));
      for (const id of unreadable)
        context.stderr.write(`postern: ${id} cannot be read, and stays in ${here}\n`);
      return unreadable.length > 0 ? 1 : 0;
    } finally {
      await ends.release();
    }
  },
});

/** The services here, and those of a store that the mail goes to. @throws CommandFailed */
async function mustBeStopped(
  config: Config,
  from: string,
  target: Destination | undefined,
  ends: Ends,
): Promise<void> {
  const why = await whyNotStopped(config, from);
  if (why !== undefined) throw new CommandFailed(`${why}; stop them first, or say --stopped when you have`);
  if (target?.s3 === undefined || target.config === undefined) return;
  const data = path.dirname(target.directory);
  if (target.config.redis !== undefined) {
    const whyOther = await whyNotStopped(target.config, target.directory);
    if (whyOther !== undefined)
      throw new CommandFailed(
        `the other gateway: ${whyOther}; stop them first, or say --stopped when you have`,
      );
  } else if (!existsSync(data)) {
    throw new CommandFailed(
      "whether the services of the other gateway are stopped is not seen from here: say --stopped when they are",
    );
  } else if (!isSame(data, path.resolve(config.data))) {
    const unlock = lockDirectory(data);
    if (unlock === undefined) throw new CommandFailed(`'postern up' is running on ${data}: stop it first`);
    ends.onRelease(unlock);
  }
}

function nameOf(end: string | { name: string }): string {
  return typeof end === "string" ? end : end.name;
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
