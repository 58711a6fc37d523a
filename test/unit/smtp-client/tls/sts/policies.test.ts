import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";
import type { DnsAnswer } from "../../../../../shared/smtp-client/dns/answer.ts";
import type { FetchedPolicy } from "../../../../../shared/smtp-client/tls/sts/fetch-policy.ts";
import { createStsPolicies, type StsPolicies } from "../../../../../shared/smtp-client/tls/sts/policies.ts";
import { parseStsPolicy } from "../../../../../shared/smtp-client/tls/sts/policy.ts";
import { PolicyFiles } from "../../../../../shared/smtp-client/tls/sts/policy-files.ts";
import { policyText } from "../../../../support/policy-host.ts";

const directories: string[] = [];
after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true }))));

const hour = 3_600_000;
const day = 24 * hour;
let directory: string;
let nowMs: number;
let records: DnsAnswer<string>;
let served: FetchedPolicy;
let fetches: number;
let asked: number;

const record = (id: string): DnsAnswer<string> => ({
  kind: "found",
  records: [`v=STSv1; id=${id};`],
  ttl: 60,
  authenticated: false,
});
const nodata: DnsAnswer<string> = { kind: "nodata", authenticated: false };

function serving(text: string): FetchedPolicy {
  const parsed = parseStsPolicy(text);
  if (parsed.kind === "invalid") throw new Error(parsed.reason);
  return { kind: "fetched", text, policy: parsed.policy };
}

/** A process: another one has the files only. */
function start(): StsPolicies {
  return createStsPolicies({
    txt: async () => {
      asked++;
      return records;
    },
    fetch: async () => {
      fetches++;
      return served;
    },
    files: new PolicyFiles(directory),
    now: () => nowMs,
  });
}

beforeEach(async () => {
  directory = path.join(await mkdtemp(path.join(tmpdir(), "postern-sts-")), "mta-sts");
  directories.push(path.dirname(directory));
  nowMs = 1_700_000_000_000;
  records = record("1");
  served = serving(policyText("enforce", ["mx.test"]));
  fetches = 0;
  asked = 0;
});

async function modeOf(policies: StsPolicies): Promise<string> {
  const found = await policies.find("example.test");
  return found.kind === "policy" ? found.policy.mode : "none found";
}

test("a policy is fetched once while its id stays (RFC 8461 §3.1)", async () => {
  const policies = start();
  for (let i = 0; i < 3; i++) assert.equal(await modeOf(policies), "enforce");
  await Promise.all(Array.from({ length: 5 }, () => modeOf(policies)));
  assert.equal(fetches, 1);
});

test("simultaneous look-ups share one fetch", async () => {
  const policies = start();
  await Promise.all(Array.from({ length: 20 }, () => modeOf(policies)));
  assert.equal(fetches, 1);
});

test("another id brings another policy (RFC 8461 §3.1)", async () => {
  const policies = start();
  await modeOf(policies);
  records = record("2");
  served = serving(policyText("testing", ["mx.test"]));
  assert.equal(await modeOf(policies), "testing");
});

test("a known policy outlives its record and its policy host (RFC 8461 §3.1, §3.3)", async () => {
  const policies = start();
  await modeOf(policies);
  served = { kind: "failed", reason: "connection refused" };
  for (const lost of [nodata, { kind: "unavailable", reason: "SERVFAIL" } as const, record("2")]) {
    records = lost;
    assert.equal(await modeOf(policies), "enforce");
  }
});

test("a policy expires after its max_age (RFC 8461 §3.2)", async () => {
  const policies = start();
  await modeOf(policies);
  records = nodata;
  nowMs += 7 * day - 1;
  assert.equal(await modeOf(policies), "enforce");
  nowMs += 1;
  assert.equal(await modeOf(policies), "none found");
  assert.equal(await modeOf(start()), "none found");
});

test("a policy in use is fetched again each day, in the background (RFC 8461 §10.2)", async () => {
  const policies = start();
  await modeOf(policies);
  nowMs += day;
  served = serving(policyText("testing", ["mx.test"]));
  assert.equal(await modeOf(policies), "enforce");
  assert.equal(fetches, 2);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await modeOf(policies), "testing");
});

test("a policy that may be outdated is fetched again although its id is the same, at most every five minutes (RFC 8461 §5)", async () => {
  const policies = start();
  await modeOf(policies);
  served = serving(policyText("none", []));
  policies.refetchPolicy("example.test");
  nowMs += 299_000;
  assert.equal(await modeOf(policies), "enforce");
  nowMs += 1000;
  assert.equal(await modeOf(policies), "none");
  assert.equal(fetches, 2);
});

test("a fetch that failed is not tried again for five minutes (RFC 8461 §3.3)", async () => {
  const policies = start();
  served = { kind: "failed", reason: "HTTP status 404" };
  for (let i = 0; i < 3; i++) assert.equal(await modeOf(policies), "none found");
  assert.equal(fetches, 1);
  nowMs += 300_000;
  served = serving(policyText("enforce", ["mx.test"]));
  assert.equal(await modeOf(policies), "enforce");
});

test("a name server that does not answer is not asked again for a minute", async () => {
  const policies = start();
  records = { kind: "unavailable", reason: "no answer" };
  for (let i = 0; i < 3; i++) assert.equal(await modeOf(policies), "none found");
  assert.equal(asked, 1);
});

test("a restart keeps the policies, even when record and policy host are out of reach (RFC 8461 §10.2)", async () => {
  await modeOf(start());
  records = { kind: "unavailable", reason: "no answer" };
  served = { kind: "failed", reason: "no answer" };
  assert.equal(await modeOf(start()), "enforce");
  assert.equal(fetches, 1);
});

test("a damaged or foreign file is ignored", async () => {
  await modeOf(start());
  for (const text of ["", "{", "[]", '{"version":1,"id":"1","fetchedAtMs":0,"text":"mode: enforce"}']) {
    await writeFile(path.join(directory, "example.test.json"), text);
    fetches = 0;
    assert.equal(await modeOf(start()), "enforce");
    assert.equal(fetches, 1);
  }
});

test("a wrong clock at storage does not make a policy valid for ever", async () => {
  const realMs = nowMs;
  nowMs += 1000 * day;
  await modeOf(start());
  nowMs = realMs;
  records = nodata;
  assert.equal(await modeOf(start()), "none found");
});

test("policies apply although the directory cannot be written", async () => {
  await writeFile(directory, "a file in its place");
  assert.equal(await modeOf(start()), "enforce");
});

test("policies of names that are no file names are found, but not stored", async () => {
  const policies = start();
  for (const domain of ["../evil.test", ".hidden.test", "a".repeat(250)]) {
    assert.equal((await policies.find(domain)).kind, "policy");
  }
  assert.deepEqual(await readdir(path.dirname(directory)), []);
});

test("pruning removes expired policies, and the oldest above the limit", async () => {
  const files = new PolicyFiles(directory, 2);
  const keep = async (domain: string, maxAgeSeconds: number) => {
    const fetched = serving(policyText("enforce", ["mx.test"], maxAgeSeconds));
    if (fetched.kind === "failed") return;
    await files.write(domain, { id: "1", policy: fetched.policy, text: fetched.text, fetchedAtMs: nowMs });
  };
  await keep("short.test", 3600);
  for (const domain of ["a.test", "b.test", "c.test"]) await keep(domain, 604_800);
  nowMs += 2 * hour;
  await files.prune(nowMs);
  assert.equal((await readdir(directory)).length, 2);
  assert.ok(!(await readdir(directory)).includes("short.test.json"));
});
