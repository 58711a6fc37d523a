/**
 * MTA-STS policies on disk, a file for each domain, so that they survive a restart (RFC 8461 §10.2: without a known
 * policy, an attacker who blocks the policy host defeats MTA-STS). All processes of a machine share the directory.
 */
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { parseStsPolicy, type StsPolicy } from "./policy.ts";

export interface StoredPolicy {
  /** Of the TXT record that announced it. */
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
/** How much the clocks of machines that share the directory may differ. */
const clockSlackMs = 3_600_000;
/** Domain names have 253 octets at most, and file names 255. */
const maxNameOctets = 240;
/** Domains that are safe as file names; policies of others are not stored. */
const safeName = /^[a-z0-9_][a-z0-9._-]*$/;

/** Shortest life of a policy: one with max_age 0 would be fetched for every message. */
const leastAgeSeconds = 60;

/** @returns when the policy expires, epoch milliseconds */
export function expiryOf({ policy, fetchedAtMs }: StoredPolicy): number {
  return fetchedAtMs + Math.max(policy.maxAgeSeconds, leastAgeSeconds) * 1000;
}

export class PolicyFiles {
  readonly #directory: string;
  /** Most files that prune() leaves. */
  readonly #limit: number;
  #writes = 0;

  constructor(directory: string, limit = 50_000) {
    this.#directory = directory;
    this.#limit = limit;
  }

  /** @returns `undefined` when there is no readable policy that is still valid: the caller fetches it again */
  async read(domain: string, nowMs: number): Promise<StoredPolicy | undefined> {
    const file = this.#fileOf(domain);
    if (file === undefined) return undefined;
    try {
      return decode(await readFile(file, "utf8"), nowMs);
    } catch {
      return undefined;
    }
  }

  /** @throws Error when it cannot be written */
  async write(domain: string, { id, text, fetchedAtMs }: StoredPolicy): Promise<void> {
    const file = this.#fileOf(domain);
    if (file === undefined) return;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    // Not synced: a policy that a crash loses is fetched again.
    const temporary = path.join(this.#directory, `.${process.pid}.${this.#writes++}.tmp`);
    await writeFile(temporary, JSON.stringify({ version: 1, id, fetchedAtMs, text }), { mode: 0o600 });
    await rename(temporary, file);
  }

  /** Removes expired policies, then the oldest above the limit. */
  async prune(nowMs: number): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    const stored: { file: string; modifiedMs: number }[] = [];
    for (const name of names) {
      const file = path.join(this.#directory, name);
      const stats = await stat(file).catch(() => undefined);
      if (stats === undefined) continue;
      const isLeftOver = name.startsWith(".") && nowMs - stats.mtimeMs > 60_000;
      const text = name.endsWith(suffix) ? await readFile(file, "utf8").catch(() => "") : undefined;
      if (isLeftOver || (text !== undefined && decode(text, nowMs) === undefined)) await remove(file);
      else if (text !== undefined) stored.push({ file, modifiedMs: stats.mtimeMs });
    }
    stored.sort((a, b) => a.modifiedMs - b.modifiedMs);
    for (const { file } of stored.slice(0, Math.max(0, stored.length - this.#limit))) await remove(file);
  }

  #fileOf(domain: string): string | undefined {
    if (domain.length > maxNameOctets || !safeName.test(domain)) return undefined;
    return path.join(this.#directory, `${domain}${suffix}`);
  }
}

function decode(text: string, nowMs: number): StoredPolicy | undefined {
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
  // The clock was wrong when it was stored, so its age is unknown.
  if (fetchedAtMs > nowMs + clockSlackMs) return undefined;
  const stored = { id, text: policyText, policy: parsed.policy, fetchedAtMs };
  return expiryOf(stored) > nowMs ? stored : undefined;
}

/** The file may be gone: another process prunes too. */
async function remove(file: string): Promise<void> {
  await unlink(file).catch(() => {});
}
