/** Takes the hold rules of a gateway along to another one, so that mail which is held stays held. */
import { existsSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { handedOverPlace, handOverHolds, standingRules } from "../../../shared/queue/holds/file.ts";
import { CommandFailed } from "../command-line/command.ts";
import { type Destination, isSame } from "./ends.ts";

/** A gateway that is running takes the rules within seconds; another does so before it delivers anything. */
const takenMs = 30_000;

/**
 * Whether the rules can come along to a store: they are in files of the hosts.
 * @throws CommandFailed when rules stand and the other gateway has no directory here
 */
export async function mustTakeRules(from: string, { directory, s3 }: Destination): Promise<void> {
  if (s3 === undefined || existsSync(path.dirname(directory))) return;
  const { length } = await standingRules(holdsIn(from), Date.now());
  if (length > 0)
    throw new CommandFailed(
      `${length} hold rules stand here, and ${path.dirname(directory)} of the other gateway is not on this host: hold that mail there first, and say --without-holds`,
    );
}

/** @returns how many rules come along */
export async function takeRules(from: string, { directory, s3 }: Destination): Promise<number> {
  if (s3 !== undefined && (isSame(directory, from) || !existsSync(path.dirname(directory)))) return 0;
  const rules = await handOverHolds(holdsIn(from), holdsIn(directory), Date.now());
  // The services of a store are stopped.
  if (rules > 0 && s3 === undefined) await taken(handedOverPlace(holdsIn(directory)));
  return rules;
}

function holdsIn(spool: string): string {
  return path.join(spool, "holds.json");
}

async function taken(place: string): Promise<void> {
  for (const untilMs = performance.now() + takenMs; performance.now() < untilMs && existsSync(place); )
    await wait(200);
}
