import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { dateUnreleased, release } from "../../../scripts/release.ts";

const changelog = `# Changelog

## Unreleased

- Null MX is a rejection.

## 1.9.0 – 2029-12-01

- Held mail.
`;

/** A repository with one commit, on the branch that releases are cut on. */
function repository(t: TestContext) {
  const root = mkdtempSync(path.join(tmpdir(), "postern-release-"));
  t.after(() => rmSync(root, { recursive: true }));
  const identity = {
    GIT_AUTHOR_NAME: "Anna",
    GIT_AUTHOR_EMAIL: "anna@example.com",
    GIT_COMMITTER_NAME: "Anna",
    GIT_COMMITTER_EMAIL: "anna@example.com",
    GIT_CONFIG_GLOBAL: "/dev/null",
  };
  for (const [name, value] of Object.entries(identity)) process.env[name] = value;
  const write = (file: string, text: string) => writeFileSync(path.join(root, file), text);
  const read = (file: string) => readFileSync(path.join(root, file), "utf8");
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  const yaml = { version: "1.9.0", integrity: `sha512-${Buffer.alloc(64, 1).toString("base64")}` };
  const dependencies = { yaml: "1.9.0" };
  const manifest = { name: "postern", version: "1.9.0", dependencies };
  const packages = { "": manifest, "node_modules/yaml": yaml };
  write("CHANGELOG.md", changelog);
  write("package.json", `${JSON.stringify(manifest, null, 2)}\n`);
  write("package-lock.json", `${JSON.stringify({ ...manifest, lockfileVersion: 3, packages }, null, 2)}\n`);
  write(".gitignore", "*.cdx.json\n");
  mkdirSync(path.join(root, "deploy/helm/postern"), { recursive: true });
  write("deploy/helm/postern/Chart.yaml", 'name: postern\nversion: 1.9.0\nappVersion: "1.9.0"\n');
  git("init", "--quiet", "--initial-branch", "main");
  git("add", "--all");
  git("commit", "--quiet", "--message", "first");
  return { root, write, read, git };
}

test("a release dates the changelog, sets the version in both manifests, commits and tags", (t) => {
  const { root, read, git } = repository(t);
  release({ root, version: "1.10.0", date: "2030-01-31", dryRun: false });
  assert.match(
    read("CHANGELOG.md"),
    /\n## Unreleased\n\n## 1\.10\.0 – 2030-01-31\n\n- Null MX is a rejection\.\n\n## 1\.9\.0/,
  );
  assert.equal(JSON.parse(read("package.json")).version, "1.10.0");
  const lock = JSON.parse(read("package-lock.json"));
  assert.deepEqual(
    [lock.version, lock.packages[""].version, lock.packages["node_modules/yaml"].version],
    ["1.10.0", "1.10.0", "1.9.0"],
  );
  assert.equal(
    read("deploy/helm/postern/Chart.yaml"),
    'name: postern\nversion: 1.10.0\nappVersion: "1.10.0"\n',
  );
  assert.equal(git("log", "-1", "--format=%s"), "release: 1.10.0");
  assert.equal(git("rev-parse", "v1.10.0^{commit}"), git("rev-parse", "HEAD"));
  assert.equal(git("status", "--porcelain"), "");
  const sbom = JSON.parse(read("postern-1.10.0.cdx.json"));
  const { name, version, purl } = sbom.metadata.component;
  assert.deepEqual([name, version, purl], ["postern", "1.10.0", "pkg:npm/postern@1.10.0"]);
  assert.deepEqual(
    sbom.components.map((component: { "bom-ref": string }) => component["bom-ref"]),
    ["yaml@1.9.0"],
  );
});

test("no release with a package whose contents are not pinned", (t) => {
  const { root, read, write, git } = repository(t);
  const lock = JSON.parse(read("package-lock.json"));
  delete lock.packages["node_modules/yaml"].integrity;
  write("package-lock.json", JSON.stringify(lock));
  git("commit", "--quiet", "--all", "--message", "without a checksum");
  assert.throws(
    () => release({ root, version: "1.10.0", date: "2030-01-31", dryRun: true }),
    /^ReleaseRefused: the bill of materials is not complete: yaml@1\.9\.0 has not the checksum of the lock file$/,
  );
});

test("a dry run says what a release would do, and changes nothing", (t) => {
  const { root, read, git } = repository(t);
  const lines = release({ root, version: "1.10.0", date: "2030-01-31", dryRun: true });
  assert.match(lines.join("\n"), /1\.9\.0 becomes 1\.10\.0/);
  assert.deepEqual(
    [read("CHANGELOG.md"), git("status", "--porcelain"), git("tag"), git("log", "--format=%s")],
    [changelog, "", "", "first"],
  );
});

test("no release from a changed tree, another branch, or under a version that was there before", (t) => {
  const { root, write, git } = repository(t);
  const attempt = (version: string) => () => release({ root, version, date: "2030-01-31", dryRun: false });
  assert.throws(attempt("1.9.0"), /1\.9\.0 is not a version X\.Y\.Z after 1\.9\.0/);
  assert.throws(attempt("1.8.7"), /not a version X\.Y\.Z after/);
  assert.throws(attempt("v2.0.0"), /not a version X\.Y\.Z after/);
  git("tag", "v2.0.0");
  assert.throws(attempt("2.0.0"), /there is a tag v2\.0\.0 already/);
  write("notes.txt", "not committed");
  assert.throws(attempt("1.10.0"), /has changes that are not committed/);
  rmSync(path.join(root, "notes.txt"));
  git("switch", "--quiet", "--create", "fix");
  assert.throws(attempt("1.10.0"), /releases are cut on main, and this is fix/);
  assert.equal(git("log", "--format=%s", "--all"), "first");
});

test("no release without an entry in the changelog", () => {
  assert.throws(() => dateUnreleased("# Changelog\n", "1.0.0", "2030-01-31"), /no heading "## Unreleased"/);
  const empty = "# Changelog\n\n## Unreleased\n\n## 0.9.0 – 2029-01-01\n\n- First.\n";
  assert.throws(() => dateUnreleased(empty, "1.0.0", "2030-01-31"), /nothing below "## Unreleased"/);
});

test("npm run release prints the reason or its usage in one line", (t) => {
  const { root } = repository(t);
  const script = fileURLToPath(new URL("../../../scripts/release.ts", import.meta.url));
  const run = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [script, ...args], {
      cwd: root,
      encoding: "utf8",
    });
    return [status, stderr];
  };
  assert.deepEqual(run(), [2, "usage: npm run release -- X.Y.Z [--dry-run]\n"]);
  assert.deepEqual(run("1"), [1, "no release: 1 is not a version X.Y.Z after 1.9.0\n"]);
});
