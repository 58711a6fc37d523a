/** What is installed is what was tested: versions and contents of all packages are pinned, and known to the bill of materials. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readAudit } from "../../../scripts/audit.ts";
import { withoutDevelopment } from "../../../scripts/pack.ts";
import { checkSbom, type LockFile, makeSbom, sbomText } from "../../../scripts/sbom.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const read = (file: string) => JSON.parse(readFileSync(`${root}/${file}`, "utf8"));
const manifest = read("package.json") as Record<"dependencies" | "devDependencies", Record<string, string>>;
const lock = read("package-lock.json") as LockFile;
const locked = Object.entries(lock.packages).filter(([place]) => place !== "");

test("package.json names exact versions", () => {
  const ranges = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
  );
  assert.deepEqual(ranges, []);
});

test("every package of the lock file has a version and a checksum of its contents", () => {
  assert.ok(locked.length > 100);
  const open = locked.filter(
    ([, { version, integrity }]) => !version || !/^sha512-[\w+/]{86}==$/.test(integrity ?? ""),
  );
  assert.deepEqual(
    open.map(([place]) => place),
    [],
  );
});

test("the lock file fits package.json", () => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
    assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
});

test("an installed package brings nothing that is for development", () => {
  const packed = withoutDevelopment(lock as never) as LockFile;
  assert.equal(packed.packages["node_modules/typescript"], undefined);
  for (const name of Object.keys(manifest.dependencies))
    assert.ok(packed.packages[`node_modules/${name}`], name);
});

test("the bill of materials has every package that is installed, with its checksum", () => {
  const sbom = makeSbom(root);
  assert.deepEqual(checkSbom(sbom, lock), []);
  const without = { ...sbom, components: sbom.components.filter(({ name }) => name !== "ioredis") };
  assert.deepEqual(checkSbom(without, lock), [`ioredis@${manifest.dependencies.ioredis} is missing`]);
  const other = structuredClone(sbom);
  for (const component of other.components.filter(({ name }) => name === "yaml"))
    component.hashes = [{ alg: "SHA-512", content: "00" }];
  assert.deepEqual(checkSbom(other, lock), [
    `yaml@${manifest.dependencies.yaml} has not the checksum of the lock file`,
  ]);
  const text = sbomText(sbom, "9.8.7");
  assert.equal(JSON.parse(text).metadata.component.purl, "pkg:npm/postern@9.8.7");
  assert.ok(text.includes('"ref": "postern@9.8.7"'));
});

const advisory = { title: "Requests are read twice", url: "https://advisories.example/1" };
const vulnerability = (severity: string) => ({ name: "fastify", severity, range: "<5", via: [advisory] });

for (const [name, report, expected] of [
  ["no vulnerability", { vulnerabilities: {} }, { kind: "clean", lesser: 0 }],
  [
    "a moderate one",
    { vulnerabilities: { fastify: vulnerability("moderate") } },
    { kind: "clean", lesser: 1 },
  ],
  [
    "a high one",
    { vulnerabilities: { fastify: vulnerability("high") } },
    {
      kind: "vulnerable",
      packages: ["high: fastify <5: Requests are read twice https://advisories.example/1"],
    },
  ],
  [
    "a critical one in a package that another one needs",
    { vulnerabilities: { a: { ...vulnerability("critical"), name: "a", via: ["fastify"] } } },
    { kind: "vulnerable", packages: ["critical: a <5: by fastify"] },
  ],
  [
    "a registry that is away",
    { message: "request to https://registry.example failed", error: { summary: "", detail: "" } },
    { kind: "unknown", reason: "request to https://registry.example failed" },
  ],
] as const) {
  test(`audit: ${name}`, () => {
    assert.deepEqual(readAudit(JSON.stringify(report)), expected);
  });
}

test("audit: no report at all", () => {
  assert.deepEqual(readAudit(""), { kind: "unknown", reason: "npm audit printed no report" });
});
