/** The configurations in the pages: whole ones as `postern config check` takes them, parts as parts of a whole. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { loadConfig } from "../../../shared/config/load.ts";
import { fencedBlocks } from "../../support/pages.ts";

const root = new URL("../../../", import.meta.url).pathname;
const directory = mkdtempSync(path.join(tmpdir(), "postern-docs-"));
after(() => rmSync(directory, { recursive: true }));

/** Files that the examples name. */
const pem = execFileSync(
  "openssl",
  "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout - -subj /CN=gw.example.net -days 2".split(
    " ",
  ),
  { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
);
for (const name of ["gw.pem", "gw.key", "cert.pem", "key.pem"])
  writeFileSync(path.join(directory, name), pem);
for (const name of ["users.txt", "domains.txt", "networks.txt", "routes.txt"])
  writeFileSync(path.join(directory, name), "");
writeFileSync(path.join(directory, "domains.txt"), "example.com\n");

const environment = Object.fromEntries(
  [
    "ISP_PASSWORD",
    "POSTERN_ADMIN_TOKEN",
    "POSTERN_ONCALL_TOKEN",
    "POSTERN_SUPPORT_TOKEN",
    "POSTERN_GRAFANA_TOKEN",
  ].map((name) => [name, `a-secret-of-sixteen-octets-${name}`]),
);
Object.assign(process.env, environment);

const isWhole = (text: string): boolean => /^hostname:/m.test(text);
const pages = globSync(["README.md", "docs/*.md"], { cwd: root }).sort();
const blocks = pages.flatMap((page) =>
  fencedBlocks(readFileSync(path.join(root, page), "utf8"), "yaml").map((text, at) => ({
    page,
    text,
    at: at + 1,
  })),
);

test("the pages have whole configurations", () => {
  assert.ok(blocks.filter(({ text }) => isWhole(text)).length >= 3);
});

for (const { page, text, at } of blocks) {
  test(`configuration ${at} of ${page} is accepted`, () => {
    const file = path.join(directory, "postern.yaml");
    const given = parse(text) as Record<string, unknown>;
    const whole = isWhole(text)
      ? text
      : `${text}\nhostname: gw.example.net\n${"listeners" in given ? "" : "listeners: [{ name: a, port: 2525 }]\n"}`;
    writeFileSync(file, whole);
    const loaded = loadConfig({ file });
    assert.equal(loaded.kind, "ok", JSON.stringify(loaded.kind === "ok" ? "" : loaded, null, 2));
  });
}
