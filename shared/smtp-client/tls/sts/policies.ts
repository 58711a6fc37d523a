/**
 * The MTA-STS policies of domains: found, fetched, kept while they hold (RFC 8461 §3 and §5.1). It owns the fetches
 * under way; close() ends them.
 */
import type { DnsAnswer } from "../../dns/answer.ts";
import { TtlCache } from "../../dns/cache.ts";
import type { FetchedPolicy } from "./fetch-policy.ts";
import type { StsPolicy } from "./policy.ts";
import { expiryOf, type KeptPolicy, type PolicyFiles } from "./policy-files.ts";
import { readStsRecords, type StsRecord } from "./record.ts";

export type FoundPolicy =
  | { kind: "policy"; policy: StsPolicy }
  /** `reason`: for people, where the operator insists on MTA-STS. */
  | { kind: "none"; reason: string };

export interface StsPolicies {
  /** @param domain  the recipients' domain in lower-case A-labels */
  find(domain: string): Promise<FoundPolicy>;
  /** A host has failed its policy: RFC 8461 §5: look whether there is another one before the mail is returned. */
  refetchPolicy(domain: string): void;
  close(): void;
}

export interface StsDeps {
  txt: (name: string) => Promise<DnsAnswer<string>>;
  fetch: (domain: string, signal: AbortSignal) => Promise<FetchedPolicy>;
  files: PolicyFiles;
  now: () => number;
}

/** Policies in memory; a domain that falls out is read from its file again. */
const memoryLimit = 10_000;
/** RFC 8461 §3.3: fetches that failed, and policies in doubt, are not tried again sooner. */
const refetchMs = 300_000;
/** RFC 8461 §10.2: a policy in use is fetched again long before it ends, so that it never lapses. */
const refreshMs = 86_400_000;
/** Mail does not wait again and again for a name server that does not answer. */
const untoldMs = 60_000;
/** Another process may have written the file since we looked. */
const absentMs = 60_000;
const pruneMs = 3_600_000;

interface Memory {
  kept: KeptPolicy;
  isDoubted: boolean;
}

export function createStsPolicies(deps: StsDeps): StsPolicies {
  const { files, now } = deps;
  const memory = new TtlCache<Memory>(memoryLimit);
  const absent = new TtlCache<true>(memoryLimit);
  /** Why nobody could tell whether there is a record; some name servers do not answer for such names. */
  const untold = new TtlCache<string>(memoryLimit);
  /** By domain and id: why the last fetch failed. */
  const failures = new TtlCache<string>(memoryLimit);
  const fetching = new Map<string, Promise<FoundPolicy>>();
  const closing = new AbortController();
  let prunedAtMs = Number.NEGATIVE_INFINITY;

  async function find(domain: string): Promise<FoundPolicy> {
    const [kept, record] = await Promise.all([recall(domain), askRecord(domain)]);
    if (record.kind === "none") {
      // RFC 8461 §3.1: who takes the record away from us does not take the policy that we have.
      return kept === undefined ? record : found(kept);
    }
    if (kept === undefined || kept.kept.id !== record.id) return fetchUnlessFailed(domain, record.id, kept);
    const ageMs = now() - kept.kept.fetchedAtMs;
    if (kept.isDoubted && ageMs >= refetchMs) return fetchUnlessFailed(domain, record.id, kept);
    if (ageMs >= Math.min(refreshMs, (expiryOf(kept.kept) - kept.kept.fetchedAtMs) / 2)) {
      // Nobody waits for a refresh; should it fail, the policy holds on until its end.
      void fetchUnlessFailed(domain, record.id, kept);
    }
    return found(kept);
  }

  async function askRecord(domain: string): Promise<StsRecord> {
    const reason = untold.get(domain, now());
    if (reason !== undefined) return { kind: "none", reason };
    const answer = await deps.txt(`_mta-sts.${domain}`);
    if (answer.kind === "unavailable") untold.set(domain, answer.reason, now() + untoldMs);
    return answer.kind === "found"
      ? readStsRecords(answer.records)
      : { kind: "none", reason: answer.kind === "unavailable" ? answer.reason : "no MTA-STS record" };
  }

  async function recall(domain: string): Promise<Memory | undefined> {
    const known = memory.get(domain, now());
    if (known !== undefined || absent.get(domain, now())) return known;
    const kept = await files.read(domain, now());
    if (kept === undefined) {
      absent.set(domain, true, now() + absentMs);
      return undefined;
    }
    return remember(domain, kept);
  }

  function remember(domain: string, kept: KeptPolicy): Memory {
    const entry = { kept, isDoubted: false };
    memory.set(domain, entry, expiryOf(kept));
    return entry;
  }

  function fetchUnlessFailed(domain: string, id: string, old: Memory | undefined): Promise<FoundPolicy> {
    const reason = failures.get(`${domain} ${id}`, now());
    if (reason !== undefined) return Promise.resolve(otherwise(old, reason));
    const key = `${domain} ${id}`;
    let fetch = fetching.get(key);
    if (fetch === undefined) {
      fetch = fetchAndKeep(domain, id, old).finally(() => fetching.delete(key));
      fetching.set(key, fetch);
    }
    return fetch;
  }

  async function fetchAndKeep(domain: string, id: string, old: Memory | undefined): Promise<FoundPolicy> {
    const fetched = await deps.fetch(domain, closing.signal);
    if (fetched.kind === "failed") {
      failures.set(`${domain} ${id}`, fetched.reason, now() + refetchMs);
      return otherwise(old, fetched.reason);
    }
    const kept = { id, policy: fetched.policy, text: fetched.text, fetchedAtMs: now() };
    const entry = remember(domain, kept);
    // A disk that is full must not keep mail from its policy: memory has it.
    await files.write(domain, kept).catch(() => {});
    prune();
    return found(entry);
  }

  function prune(): void {
    if (now() - prunedAtMs < pruneMs) return;
    prunedAtMs = now();
    void files.prune(now());
  }

  return {
    find,
    refetchPolicy(domain) {
      const entry = memory.get(domain, now());
      if (entry !== undefined) entry.isDoubted = true;
    },
    close: () => closing.abort(),
  };
}

function found({ kept }: Memory): FoundPolicy {
  return { kind: "policy", policy: kept.policy };
}

/** RFC 8461 §3.3: when no other can be had, the one that we have applies; without one, there is none. */
function otherwise(old: Memory | undefined, reason: string): FoundPolicy {
  return old === undefined ? { kind: "none", reason } : found(old);
}
