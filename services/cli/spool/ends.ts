/** The two spools that `postern spool copy` has to do with, as configuration files and directories name them. */
import { existsSync, mkdtempSync, realpathSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { describeConfigErrors, loadConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { openForHandover } from "../../../shared/runtime/open-spool.ts";
import { isSpool } from "../../../shared/spool/handover/directory-ends.ts";
import type { SpoolEnd } from "../../../shared/spool/handover/handover.ts";
import { CommandFailed, UsageError } from "../command-line/command.ts";

/** Where the mail is to go. */
export interface Destination {
  /** The directory in which the spool, or what is kept beside one in a store, is. It may be on another host. */
  directory: string;
  /** Of the other gateway, when it was named by its file. */
  config?: Config;
  /** Absent: the spool is the directory. */
  s3?: NonNullable<Config["spool"]["s3"]>;
}

/** @param given  of `--to` @throws CommandFailed, UsageError */
export function destinationOf(given: string, from: string): Destination {
  if (/^s3:/.test(given))
    throw new UsageError(
      "needs a directory or a file for --to: the configuration of the gateway with that store",
    );
  const place = path.resolve(given);
  if (!statSync(place, { throwIfNoEntry: false })?.isFile()) return { directory: directoryOf(place, from) };
  const loaded = loadConfig({ file: place });
  if (loaded.kind !== "ok")
    throw new CommandFailed(`${place} has errors: ${describeConfigErrors(loaded).join("; ")}`);
  const { config } = loaded;
  const directory = path.join(path.resolve(config.data), "spool");
  const { s3 } = config.spool;
  return s3 === undefined ? { directory: directoryOf(directory, from), config } : { directory, config, s3 };
}

/** Opens spools in stores with a local directory of their own, which release() removes. */
export class Ends {
  readonly #releases: (() => unknown)[] = [];

  /** @param data  a local directory */
  async open(end: { directory: string; s3?: Destination["s3"] }, data: string): Promise<SpoolEnd> {
    if (end.s3 === undefined) return end.directory;
    const own = mkdtempSync(path.join(data, "spool-copy-"));
    this.#releases.unshift(() => rmSync(own, { recursive: true, force: true }));
    const opened = await openForHandover(end.s3, own);
    this.#releases.unshift(() => opened.spool.close());
    return opened;
  }

  onRelease(work: () => unknown): void {
    this.#releases.push(work);
  }

  async release(): Promise<void> {
    for (const release of this.#releases) await release();
  }
}

/** @throws CommandFailed */
function directoryOf(target: string, from: string): string {
  if (!isSpool(target) && isSpool(path.join(target, "spool")))
    throw new CommandFailed(`${target} is a data directory: its spool is ${path.join(target, "spool")}`);
  if (!existsSync(path.dirname(target))) throw new CommandFailed(`${path.dirname(target)} is not there`);
  if (!existsSync(target)) return target;
  if (isSame(target, from)) throw new CommandFailed(`${target} is this spool itself`);
  mustOwn(target);
  return target;
}

/** Whether both are there, and are the same directory. */
export function isSame(one: string, other: string): boolean {
  return existsSync(one) && existsSync(other) && realpathSync(one) === realpathSync(other);
}

type StorePlace = Pick<NonNullable<Destination["s3"]>, "bucket" | "prefix" | "endpoint">;

/**
 * Whether two settings name one place, as far as they say: a server may have two names, which the hand-over itself notices. Pure.
 */
export function isSameStore(one: StorePlace, other: StorePlace): boolean {
  const places = [one, other].map(({ bucket, prefix, endpoint }) =>
    JSON.stringify([bucket, prefix, serverOf(endpoint)]),
  );
  return places[0] === places[1];
}

/** Buckets have one name for all of Amazon's regions, whose hosts are `s3.amazonaws.com`, `s3.REGION.amazonaws.com` and such. */
function serverOf(endpoint: string | undefined): string {
  if (endpoint === undefined || !URL.canParse(endpoint)) return endpoint ?? amazon;
  const { origin, pathname, hostname } = new URL(endpoint);
  return /^s3[.-]([a-z0-9.-]+\.)?amazonaws\.com$/.test(hostname)
    ? amazon
    : origin + pathname.replace(/\/+$/, "");
}

const amazon = "amazon";

/** The services of a spool must be able to read and remove what is made in it. @throws CommandFailed */
export function mustOwn(directory: string): void {
  const { uid } = statSync(directory);
  if (process.getuid !== undefined && process.getuid() !== uid)
    throw new CommandFailed(`${directory} belongs to the user with the id ${uid}: run this as that user`);
}
