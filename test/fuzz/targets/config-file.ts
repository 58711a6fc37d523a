import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { readConfig } from "../../../shared/config/load.ts";
import { formatYaml, readSource } from "../../../shared/config/source.ts";
import { mustBeOneLine, splitAtNul, type Target } from "../engine/target.ts";

const directory = mkdtempSync(path.join(tmpdir(), "postern-fuzz-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const base = "hostname: gw.example.net\nlisteners: [{ name: a, port: 2525 }]\n";
const withLists = `${base}protected: [{ domains: { file: list }, servers: ["192.0.2.1"] }]\nrelay: { clients: { file: list }, routes: { file: list } }\n`;

/** A configuration, a NUL, and a list file. */
const target: Target = {
  about: "the configuration, and the list files that it names",
  cost: 5,
  maxOctets: 20_000,
  // The parser of YAML needs a kilobyte and more for each bracket.
  longOctets: 20_000,
  check(input) {
    const [list, text] = splitAtNul(input);
    writeFileSync(path.join(directory, "list"), list);
    for (const config of [text.toString("utf8"), withLists]) {
      const read = readConfig(config, directory, { NAME: "x: [1]", PORT: "2525" });
      if (read.kind === "ok") continue;
      assert.ok(read.configErrors.length > 0);
      for (const { line, message, path: place } of read.configErrors) {
        assert.ok(Number.isInteger(line) && line >= 0, `line ${line}`);
        assert.notEqual(message, "");
        if (config === withLists) mustBeOneLine(message.replaceAll(/[^\x20-\x7e]/g, ""));
        assert.equal(typeof place, "string");
      }
    }
  },
  seeds: [
    `example.com\n*.example.com # x\n\0${base}`,
    `192.0.2.0/24\n2001:db8::/32\n\0${base}relay: { clients: [127.0.0.0/8], hosts: { isp: { host: smtp.isp.example, port: 587 } }, routes: [{ to: "*", via: isp }] }\n`,
    `*@partner.example 192.0.2.9:25\nfrom=<> via=mx\n\0${base}queue: { retry: [5m, 1h], expire: 5d }\nlimits: { message: 50MB, clients: { rate: "100/1m" } }\n`,
    `\0hostname: \${NAME}\nlisteners:\n  - &a { name: a, port: \${PORT} }\n  - { <<: *a, name: b }\n`,
    "\0a: &a [x]\nb: [*a, *a, *a]\n",
  ],
  words: [
    "\0",
    ": ",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    `$${"{NAME}"}`,
    `$$${"{"}`,
    "!!binary ",
    "!!set",
    "? ",
    "| \n",
    "> \n",
    "'",
    '"',
    "listeners",
    "hostname",
    "relay",
    "5m",
    "0/0",
    "to=",
    "via=",
    "from=",
    "__proto__",
    "constructor",
  ],
  long: [
    ["\0", "[", ""],
    ["\0", "{a: ", ""],
    ["\0a: &a [x]\nb: [", "*a, ", "]"],
    ["\0", "- a\n", ""],
    ["", "a.example\n", "\0"],
    ["", " ", "#\0"],
    ["", "x ", "\0"],
  ],
  properties: {
    "what is shown as YAML is read back as it was": fc.property(
      fc.dictionary(
        fc.stringMatching(/^[a-z_]{1,8}$/),
        fc.oneof(
          fc.string(),
          fc.constantFrom(`a $${"{NAME}"}`, `$$${"{x}"}`, `$${"{"}`),
          fc.integer(),
          fc.boolean(),
          fc.array(fc.string()),
        ),
      ),
      (value) => {
        const plain = { x: 1, ...value };
        assert.deepEqual(readSource(formatYaml(plain), {}).value, plain);
      },
    ),
  },
};
export default target;
