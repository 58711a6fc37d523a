/**
 * MTA-STS policies on disk, a file for each domain, so that a restart does not forget them (RFC 8461 §10.2: who is cut
 * off from the policy host at the first contact gets no protection). All processes of a host share the directory.
 */
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { parseStsPolicy, type StsPolicy } from "./policy.ts";

export interface KeptPolicy {
  /** From the TXT record that led to it. */
  id: string;
  policy: StsPolicy;
  /** As it was fetched. */
  text: string;
  fetchedAtMs: number;
}

const fileSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  fetchedAtMs: z.number(),
  text: z.string(),
});
const suffix = ".json";
/** Hosts that share the directory may disagree by so much. */
const clockSlackMs = 3_600_000;
/** Domain names have 253 octets at most, and file names 255. */
const maxNameOctets = 240;
/** Names that are safe as file names; others are not kept. */
const safeName = /^[a-z0-9_][a-z0-9._-]*$/;

/** A policy that holds for no time at all would be fetched for every message. */
const leastAgeSeconds = 60;

/** @returns the moment at which it must not be used any more, epoch milliseconds */
export function expiryOf({ policy, fetchedAtMs }: KeptPolicy): number {
  return fetchedAtMs + Math.max(policy.maxAgeSeconds, leastAgeSeconds) * 1000;
}

export class PolicyFiles {
  readonly #directory: string;
  /** Files that prune() leaves at most. */
  readonly #limit: number;
  #writes = 0;

  constructor(directory: string, limit = 50_000) {
    this.#directory = directory;
    this.#limit = limit;
  }

  /** @returns `undefined` when there is none that can be read and still holds: it can be fetched again */
  async read(domain: string, nowMs: number): Promise<KeptPolicy | undefined> {
    const file = this.#fileOf(domain);
    if (file === undefined) return undefined;
    try {
      return decode(await readFile(file, "utf8"), nowMs);
    } catch {
      return undefined;
    }
  }

  /** @throws Error when it cannot be written */
  async write(domain: string, { id, text, fetchedAtMs }: KeptPolicy): Promise<void> {
    const file = this.#fileOf(domain);
    if (file === undefined) return;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    // Not synced: what a crash takes is fetched again.
    const temporary = path.join(this.#directory, `.${process.pid}.${this.#writes++}.tmp`);
    await writeFile(temporary, JSON.stringify({ version: 1, id, fetchedAtMs, text }), { mode: 0o600 });
    await rename(temporary, file);
  }

  /** Removes what has expired, and the oldest of what is too much. */
  async prune(nowMs: number): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    const kept: { file: string; modifiedMs: number }[] = [];
    for (const name of names) {
      const file = path.join(this.#directory, name);
      const stats = await stat(file).catch(() => undefined);
      if (stats === undefined) continue;
      const isLeftOver = name.startsWith(".") && nowMs - stats.mtimeMs > 60_000;
      const text = name.endsWith(suffix) ? await readFile(file, "utf8").catch(() => "") : undefined;
      if (isLeftOver || (text !== undefined && decode(text, nowMs) === undefined)) await remove(file);
      else if (text !== undefined) kept.push({ file, modifiedMs: stats.mtimeMs });
    }
    kept.sort((a, b) => a.modifiedMs - b.modifiedMs);
    for (const { file } of kept.slice(0, Math.max(0, kept.length - this.#limit))) await remove(file);
  }

  #fileOf(domain: string): string | undefined {
    if (domain.length > maxNameOctets || !safeName.test(domain)) return undefined;
    return path.join(this.#directory, `${domain}${suffix}`);
  }
}

function decode(text: string, nowMs: number): KeptPolicy | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const file = fileSchema.safeParse(json);
  if (!file.success) return undefined;
  const parsed = parseStsPolicy(file.data.text);
  if (parsed.kind !== "policy") return undefined;
  const { id, text: policyText, fetchedAtMs } = file.data;
  // The clock was wrong then, and the policy would hold for nobody knows how long.
  if (fetchedAtMs > nowMs + clockSlackMs) return undefined;
  const kept = { id, text: policyText, policy: parsed.policy, fetchedAtMs };
  return expiryOf(kept) > nowMs ? kept : undefined;
}

/** Another process may have been quicker. */
async function remove(file: string): Promise<void> {
  await unlink(file).catch(() => {});
}
