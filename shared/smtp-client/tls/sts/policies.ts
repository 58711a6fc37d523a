/**
 * The MTA-STS policies of domains (RFC 8461 §3, §5.1): finds and fetches them, and keeps them until they expire. It owns
 * the fetches in progress; close() ends them.
 */
import type { DnsAnswer } from "../../dns/answer.ts";
import { TtlCache } from "../../dns/cache.ts";
import type { FetchedPolicy } from "./fetch-policy.ts";
import { readStsRecords, type StsPolicy, type StsRecord } from "./policy.ts";
import { expiryOf, type PolicyFiles, type StoredPolicy } from "./policy-files.ts";

export type FoundPolicy =
  | { kind: "policy"; policy: StsPolicy }
  /** `reason`: for people, where the operator requires MTA-STS. */
  | { kind: "none"; reason: string };

export interface StsPolicies {
  /** @param domain  the recipients' domain in lower-case A-labels */
  find(domain: string): Promise<FoundPolicy>;
  /** For a host that failed its policy. RFC 8461 §5: before mail is returned, check whether the domain has a newer one. */
  refetchPolicy(domain: string): void;
  close(): void;
}

export interface StsDeps {
  txt: (name: string) => Promise<DnsAnswer<string>>;
  fetch: (domain: string, signal: AbortSignal) => Promise<FetchedPolicy>;
  files: PolicyFiles;
  now: () => number;
}

/** Policies in memory; others are read from their files again. */
const memoryLimit = 10_000;
/** RFC 8461 §3.3: how long to wait after a failed fetch, and before a policy that may be outdated is fetched again. */
const refetchMs = 300_000;
/** RFC 8461 §10.2: a policy in use is fetched again long before it expires. */
const refreshMs = 86_400_000;
/** How long a failed look-up of the record is remembered, so that not every message waits for the name server. */
const unansweredMs = 60_000;
/** How long a missing file is remembered; another process may write it meanwhile. */
const absentMs = 60_000;
const pruneMs = 3_600_000;

interface KnownPolicy {
  stored: StoredPolicy;
  mayBeOutdated: boolean;
}

export function createStsPolicies(deps: StsDeps): StsPolicies {
  const { files, now } = deps;
  const memory = new TtlCache<KnownPolicy>(memoryLimit);
  const absent = new TtlCache<true>(memoryLimit);
  /** Why the record could not be looked up; some name servers do not answer for such names. */
  const unanswered = new TtlCache<string>(memoryLimit);
  /** By domain and id: why the last fetch failed. */
  const failures = new TtlCache<string>(memoryLimit);
  const fetching = new Map<string, Promise<FoundPolicy>>();
  const closing = new AbortController();
  let prunedAtMs = Number.NEGATIVE_INFINITY;

  async function find(domain: string): Promise<FoundPolicy> {
    const [known, record] = await Promise.all([recallPolicy(domain), askRecord(domain)]);
    if (record.kind === "none") {
      // RFC 8461 §3.1: an attacker who suppresses the record does not thereby remove the policy that is known.
      return known === undefined ? record : found(known);
    }
    if (known === undefined || known.stored.id !== record.id)
      return fetchUnlessFailed(domain, record.id, known);
    const { fetchedAtMs } = known.stored;
    const ageMs = now() - fetchedAtMs;
    if (known.mayBeOutdated && ageMs >= refetchMs) return fetchUnlessFailed(domain, record.id, known);
    if (ageMs >= Math.min(refreshMs, (expiryOf(known.stored) - fetchedAtMs) / 2)) {
      // In the background; when it fails, the known policy applies until it expires.
      void fetchUnlessFailed(domain, record.id, known);
    }
    return found(known);
  }

  async function askRecord(domain: string): Promise<StsRecord> {
    const reason = unanswered.get(domain, now());
    if (reason !== undefined) return { kind: "none", reason };
    const answer = await deps.txt(`_mta-sts.${domain}`);
    if (answer.kind === "unavailable") unanswered.set(domain, answer.reason, now() + unansweredMs);
    return answer.kind === "found"
      ? readStsRecords(answer.records)
      : { kind: "none", reason: answer.kind === "unavailable" ? answer.reason : "no MTA-STS record" };
  }

  async function recallPolicy(domain: string): Promise<KnownPolicy | undefined> {
    const known = memory.get(domain, now());
    if (known !== undefined || absent.get(domain, now())) return known;
    const stored = await files.read(domain, now());
    if (stored === undefined) {
      absent.set(domain, true, now() + absentMs);
      return undefined;
    }
    return rememberPolicy(domain, stored);
  }

  function rememberPolicy(domain: string, stored: StoredPolicy): KnownPolicy {
    const entry = { stored, mayBeOutdated: false };
    memory.set(domain, entry, expiryOf(stored));
    return entry;
  }

  function fetchUnlessFailed(domain: string, id: string, old: KnownPolicy | undefined): Promise<FoundPolicy> {
    const reason = failures.get(`${domain} ${id}`, now());
    if (reason !== undefined) return Promise.resolve(fallBackTo(old, reason));
    const key = `${domain} ${id}`;
    let fetch = fetching.get(key);
    if (fetch === undefined) {
      fetch = fetchAndKeep(domain, id, old).finally(() => fetching.delete(key));
      fetching.set(key, fetch);
    }
    return fetch;
  }

  async function fetchAndKeep(
    domain: string,
    id: string,
    old: KnownPolicy | undefined,
  ): Promise<FoundPolicy> {
    const fetched = await deps.fetch(domain, closing.signal);
    if (fetched.kind === "failed") {
      failures.set(`${domain} ${id}`, fetched.reason, now() + refetchMs);
      return fallBackTo(old, fetched.reason);
    }
    const stored = { id, policy: fetched.policy, text: fetched.text, fetchedAtMs: now() };
    const entry = rememberPolicy(domain, stored);
    // When the disk is full, the policy in memory still applies.
    await files.write(domain, stored).catch(() => {});
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
      if (entry !== undefined) entry.mayBeOutdated = true;
    },
    close: () => closing.abort(),
  };
}

function found({ stored }: KnownPolicy): FoundPolicy {
  return { kind: "policy", policy: stored.policy };
}

/** RFC 8461 §3.3: when the fetch fails, the known policy applies, if there is one. */
function fallBackTo(old: KnownPolicy | undefined, reason: string): FoundPolicy {
  return old === undefined ? { kind: "none", reason } : found(old);
}
