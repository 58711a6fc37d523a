/**
 * Asks the registry for known vulnerabilities of the locked versions: `npm run audit`. Exit status 1 for one that is high or
 * critical. A registry that does not answer is no failure: it says so and exits with 0.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";

export type AuditResult =
  | { kind: "clean"; lesser: number }
  /** One line for each package. */
  | { kind: "vulnerable"; packages: string[] }
  | { kind: "unknown"; reason: string };

interface Vulnerability {
  name: string;
  severity: string;
  range?: string;
  via?: (string | { title?: string; url?: string })[];
}

const failing = ["high", "critical"];

/** @param output  of `npm audit --json` */
export function readAudit(output: string): AuditResult {
  let report: {
    vulnerabilities?: Record<string, Vulnerability>;
    message?: string;
    error?: { summary?: string };
  };
  try {
    report = JSON.parse(output);
  } catch {
    return { kind: "unknown", reason: "npm audit printed no report" };
  }
  if (report.vulnerabilities === undefined) {
    const reason = report.message || report.error?.summary || "npm audit printed no report";
    return { kind: "unknown", reason: reason.split("\n", 1)[0] as string };
  }
  const found = Object.values(report.vulnerabilities);
  const bad = found.filter(({ severity }) => failing.includes(severity));
  if (bad.length === 0) return { kind: "clean", lesser: found.length };
  return { kind: "vulnerable", packages: bad.map(describe) };
}

function describe({ name, severity, range = "", via = [] }: Vulnerability): string {
  const reasons = via.map((each) => (typeof each === "string" ? `by ${each}` : `${each.title} ${each.url}`));
  return `${severity}: ${name} ${range}: ${reasons.join("; ")}`;
}

if (import.meta.main) {
  const { stdout, error } = spawnSync(
    "npm",
    ["audit", "--package-lock-only", "--json", "--fetch-retries=1", "--fetch-timeout=20000"],
    {
      cwd: path.join(import.meta.dirname, ".."),
      encoding: "utf8",
      timeout: 120_000,
      maxBuffer: 64 * 1024 ** 2,
    },
  );
  const result =
    error === undefined ? readAudit(stdout) : { kind: "unknown" as const, reason: error.message };
  switch (result.kind) {
    case "clean":
      console.log(`audit: nothing high or critical; ${result.lesser} of lesser severity`);
      break;
    case "unknown":
      console.log(`audit: skipped, the registry gave no answer (${result.reason})`);
      break;
    case "vulnerable":
      for (const line of result.packages) console.error(`audit: ${line}`);
      process.exitCode = 1;
  }
}
