/**
 * Cuts a release: `npm run release -- X.Y.Z [--dry-run]`. Dates the changelog's unreleased entries, sets the version,
 * commits and tags. Writes the bill of materials (CycloneDX) to be published with it. It does not push.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { makeSbom, sbomText } from "./sbom.ts";

const branch = "main";
const heading = "## Unreleased";
const chartFile = "deploy/helm/postern/Chart.yaml";

/** The reason why no release was made, in one sentence. */
export class ReleaseRefused extends Error {
  override name = "ReleaseRefused";
}

export interface ReleaseOptions {
  /** The top of the repository. */
  root: string;
  /** `1.2.3`, without a v. */
  version: string;
  /** `2030-01-31` */
  date: string;
  /** Checks everything and changes nothing. */
  dryRun: boolean;
}

/** @returns the steps that were done, or with `dryRun` would be, one line each. @throws ReleaseRefused */
export function release({ root, version, date, dryRun }: ReleaseOptions): string[] {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  const read = (file: string): string => readFileSync(path.join(root, file), "utf8");

  const manifest = JSON.parse(read("package.json")) as { version: string };
  const lock = JSON.parse(read("package-lock.json")) as {
    version: string;
    packages: { "": { version: string } };
  };
  if (!isLater(version, manifest.version)) {
    throw new ReleaseRefused(`${version} is not a version X.Y.Z after ${manifest.version}`);
  }
  const current = git("branch", "--show-current");
  if (current !== branch)
    throw new ReleaseRefused(`releases are cut on ${branch}, and this is ${current || "no branch"}`);
  if (git("status", "--porcelain") !== "")
    throw new ReleaseRefused("the work tree has changes that are not committed");
  try {
    git("var", "GIT_COMMITTER_IDENT");
  } catch {
    throw new ReleaseRefused("git has no identity for the commit: set user.name and user.email");
  }
  const tag = `v${version}`;
  if (git("tag", "--list", tag) !== "") throw new ReleaseRefused(`there is a tag ${tag} already`);
  const changelog = dateUnreleased(read("CHANGELOG.md"), version, date);
  const sbomFile = `postern-${version}.cdx.json`;
  const sbom = billOfMaterials(root, version);

  if (!dryRun) {
    writeFileSync(path.join(root, sbomFile), sbom);
    lock.version = version;
    lock.packages[""].version = version;
    const files = {
      "CHANGELOG.md": changelog,
      "package.json": `${JSON.stringify({ ...manifest, version }, null, 2)}\n`,
      "package-lock.json": `${JSON.stringify(lock, null, 2)}\n`,
      [chartFile]: chartOf(read(chartFile), version),
    };
    for (const [file, text] of Object.entries(files)) writeFileSync(path.join(root, file), text);
    git("commit", "--quiet", "--all", "--message", `release: ${version}`);
    git("tag", "--annotate", tag, "--message", `Postern ${version}`);
  }
  return [
    `CHANGELOG.md: "${heading}" becomes "${headingOf(version, date)}"`,
    `package.json, package-lock.json, ${chartFile}: ${manifest.version} becomes ${version}`,
    `commit "release: ${version}", tag ${tag}`,
    `${sbomFile}: the bill of materials, to be published with the packages`,
    `next, by hand: git push origin ${branch} ${tag}`,
  ];
}

/** @throws ReleaseRefused */
function billOfMaterials(root: string, version: string): string {
  try {
    return sbomText(makeSbom(root), version);
  } catch (error) {
    throw new ReleaseRefused(`the bill of materials is not complete: ${(error as Error).message}`);
  }
}

/** The chart has the version of what it installs. */
function chartOf(text: string, version: string): string {
  return text
    .replace(/^version: .*$/m, `version: ${version}`)
    .replace(/^appVersion: .*$/m, `appVersion: "${version}"`);
}

function headingOf(version: string, date: string): string {
  return `## ${version} – ${date}`;
}

/** Gives the unreleased entries their version and date, below a new heading for the next release. @throws ReleaseRefused */
export function dateUnreleased(changelog: string, version: string, date: string): string {
  const lines = changelog.split("\n");
  const at = lines.indexOf(heading);
  if (at < 0) throw new ReleaseRefused(`CHANGELOG.md has no heading "${heading}"`);
  const next = lines.findIndex((line, index) => index > at && line.startsWith("## "));
  const entries = lines.slice(at + 1, next < 0 ? undefined : next);
  if (entries.every((line) => line.trim() === "")) {
    throw new ReleaseRefused(`CHANGELOG.md has nothing below "${heading}"`);
  }
  return lines.with(at, `${heading}\n\n${headingOf(version, date)}`).join("\n");
}

/** Whether `version` is `X.Y.Z` and comes after `before`. */
function isLater(version: string, before: string): boolean {
  if (!/^(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}$/.test(version)) return false;
  return version.localeCompare(before, "en", { numeric: true }) > 0;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { "dry-run": { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const [version, ...rest] = positionals;
  if (version === undefined || rest.length > 0) {
    console.error("usage: npm run release -- X.Y.Z [--dry-run]");
    process.exit(2);
  }
  const date = new Date().toISOString().slice(0, 10);
  const options = { root: process.cwd(), version, date, dryRun: values["dry-run"] };
  try {
    for (const line of release(options)) console.log(options.dryRun ? `would: ${line}` : line);
  } catch (error) {
    if (!(error instanceof ReleaseRefused)) throw error;
    console.error(`no release: ${error.message}`);
    process.exit(1);
  }
}
