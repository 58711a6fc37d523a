import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Command,
  CommandFailed,
  type CommandList,
  defineCommand,
  UsageError,
} from "../../../services/cli/command-line/command.ts";
import { dispatch } from "../../../services/cli/dispatch.ts";

const send = defineCommand({
  usage: "--to ADDRESS... [--size N] [--dry] FILE",
  options: {
    to: { type: "string", required: true, multiple: true, value: "ADDRESS", help: "a recipient" },
    size: { type: "string", short: "s", value: "N", help: "octets" },
    as: { type: "string", value: "FORM", choices: ["text", "html"], help: "text or html" },
    dry: { type: "boolean", help: "say only what would be done" },
  },
  positionals: { min: 1, max: 1 },
  examples: [["a file", "mail send --to ann@example.net FILE"]],
  async run({ stdout, configFile }, values, positionals) {
    stdout.write(
      JSON.stringify([configFile ?? null, values.to, values.size ?? null, values.dry, positionals]),
    );
    return 0;
  },
});

const raw = defineCommand({
  usage: "WORDS",
  options: {},
  positionals: { min: 0, max: 100 },
  usesAdmin: true,
  examples: [["two words", "raw a b"]],
  async run({ stdout, configFile, admin }, _, words) {
    if (words[0] === "fail") throw new CommandFailed("nothing answers at 127.0.0.1:8025");
    if (words[0] === "errors") throw new UsageError("errors", ["a.yaml:1: one", "a.yaml:2: two"]);
    if (words[0] === "bug") throw new TypeError("a bug");
    stdout.write(JSON.stringify([configFile ?? null, words]));
    if (admin.url !== undefined) stdout.write(` ${admin.url} ${admin.token}`);
    return 7;
  },
});

let loaded: string[] = [];
function entry(name: string, summary: string, command: Command): CommandList[string][number] {
  const load = async () => {
    loaded.push(name);
    return { command };
  };
  return { name, summary, load };
}

const commands: CommandList = {
  "Send mail": [entry("mail send", "Send mail", send)],
  Others: [entry("raw", "Reads its own words", raw)],
};

interface Ended {
  status: number;
  out: string;
  err: string;
}

async function postern(...words: string[]): Promise<Ended> {
  return posternOn({}, ...words);
}

async function posternOn(
  terminal: { columns?: number; hasColors?: () => boolean },
  ...words: string[]
): Promise<Ended> {
  let out = "";
  let err = "";
  loaded = [];
  const status = await dispatch({ commands, version: "1.2.3" }, words, {
    stdin: process.stdin,
    stdout: { ...terminal, write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { status, out, err };
}

test("options and positionals come typed, in any order", async () => {
  const expected = '[null,["a@b.example","c@d.example"],"5",true,["file"]]';
  assert.deepEqual(
    await postern("mail", "send", "--to", "a@b.example", "file", "--dry", "-s", "5", "--to=c@d.example"),
    {
      status: 0,
      out: expected,
      err: "",
    },
  );
  assert.equal(
    (await postern("mail", "send", "--to=-x", "--", "--file")).out,
    '[null,["-x"],null,false,["--file"]]',
  );
});

test("-c may stand before or after the command, in every form", async () => {
  for (const words of [
    ["-c", "f.yaml", "raw", "a"],
    ["raw", "-c", "f.yaml", "a"],
    ["raw", "a", "-cf.yaml"],
    ["--config", "f.yaml", "raw", "a"],
    ["raw", "--config=f.yaml", "a"],
  ]) {
    assert.deepEqual(await postern(...words), { status: 7, out: '["f.yaml",["a"]]', err: "" });
  }
  assert.equal((await postern("raw", "--", "-c", "f.yaml")).out, '[null,["-c","f.yaml"]]');
});

const wrongUse: [words: string[], line: string][] = [
  [["mial"], "postern has no command 'mial' (did you mean 'mail'?); see 'postern --help'"],
  [["send"], "postern has no command 'send' (did you mean 'mail send'?); see 'postern --help'"],
  [["mail"], "postern mail needs one of: send; see 'postern --help'"],
  [["mail", "list"], "postern mail has no 'list', only: send; see 'postern --help'"],
  [["--frob"], "postern has no option --frob; see 'postern --help'"],
  [["raw", "-c"], "postern needs a value for -c: FILE; see 'postern --help'"],
  [["-c", "a", "raw", "-c", "b"], "postern takes -c only once; see 'postern --help'"],
  [["mail", "send", "f"], "postern mail send needs --to ADDRESS; see 'postern mail send --help'"],
  [
    ["mail", "send", "--tp", "x"],
    "postern mail send has no option --tp (did you mean --to?); see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--to", "--dry", "f"],
    "postern mail send needs a value for --to: ADDRESS; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--to"],
    "postern mail send needs a value for --to: ADDRESS; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--dry=yes"],
    "postern mail send takes no value for --dry; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--size", "1", "--size", "2"],
    "postern mail send takes --size only once; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--to", "a", "f", "g"],
    "postern mail send takes no argument 'g'; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--to", "a"],
    "postern mail send needs more arguments: --to ADDRESS... [--size N] [--dry] FILE; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--to", "a", "--as", "pdf", "f"],
    "postern mail send knows no as 'pdf', only: text, html; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--url", "http://127.0.0.1", "--to", "a", "f"],
    "postern mail send has no option --url; see 'postern mail send --help'",
  ],
  [
    ["mail", "send", "--constructor"],
    "postern mail send has no option --constructor; see 'postern mail send --help'",
  ],
];

for (const [words, line] of wrongUse) {
  test(`wrong use is one line and exit status 2: postern ${words.join(" ")}`, async () => {
    assert.deepEqual(await postern(...words), { status: 2, out: "", err: `${line}\n` });
  });
}

test("errors of a configuration are printed on lines of their own, exit status 2", async () => {
  assert.deepEqual(await postern("raw", "errors"), {
    status: 2,
    out: "",
    err: "a.yaml:1: one\na.yaml:2: two\n",
  });
});

test("a command that fails prints one line, exit status 1; a bug is thrown", async () => {
  const err = "postern: nothing answers at 127.0.0.1:8025\n";
  assert.deepEqual(await postern("raw", "fail"), { status: 1, out: "", err });
  await assert.rejects(postern("raw", "bug"), TypeError);
});

test("help: of the program, of a command, of a group; without a command on standard error", async () => {
  for (const words of [["--help"], ["-h"], ["help"]]) {
    const { status, out } = await postern(...words);
    assert.equal(status, 0);
    assert.match(out, /^usage: postern /);
    assert.match(out, /Send mail:\n {2}mail send +Send mail\n/);
    assert.deepEqual(loaded, [], "the list needs no command");
  }
  const help = (await postern("help", "mail", "send")).out;
  assert.deepEqual(loaded, ["mail send"]);
  assert.match(help, /^usage: postern mail send --to ADDRESS/);
  assert.match(help, /\n {2}-s, --size <N> +octets\n/);
  assert.match(help, /\nExamples:\n {2}# a file\n {2}postern mail send --to ann@example.net FILE\n$/);
  assert.equal((await postern("mail", "send", "--help")).out, help);
  assert.match((await postern("raw", "x", "-h")).out, /^usage: postern raw WORDS\n/);
  const { status, out, err } = await postern();
  assert.deepEqual([status, out], [2, ""]);
  assert.match(err, /^usage: postern /);
  assert.equal((await postern("help", "nothing")).status, 2);
});

test("help of a group names its commands, however it is asked for", async () => {
  const expected = {
    status: 0,
    out: [
      "usage: postern mail COMMAND [OPTIONS]",
      "",
      "Send mail:",
      "  mail send  Send mail",
      "",
      "'postern mail COMMAND --help' shows how to use one of them.",
      "",
    ].join("\n"),
    err: "",
  };
  for (const words of [
    "help mail",
    "--help mail",
    "mail --help",
    "mail -h",
    "mail help",
    "-c f.yaml mail --help",
  ]) {
    assert.deepEqual(await postern(...words.split(" ")), expected, words);
  }
  const { out } = await postern("help", "mail", "send");
  assert.equal((await postern("mail", "--help", "send")).out, out);
  assert.equal((await postern("mail", "list", "--help")).status, 2);
});

test("help fits the terminal, and is bold only where there are colours", async () => {
  for (const words of [["--help"], ["mail", "send", "--help"]]) {
    const { out } = await posternOn({ columns: 80 }, ...words);
    for (const line of out.split("\n")) assert.ok(line.length <= 80, line);
    assert.ok(!out.includes("\u001b"));
    const coloured = await posternOn({ columns: 80, hasColors: () => true }, ...words);
    assert.ok(coloured.out.startsWith("\u001b[1musage:\u001b[22m postern"));
  }
});

test("only the command that the words name is loaded", async () => {
  await postern("raw", "a");
  assert.deepEqual(loaded, ["raw"]);
  await postern("mial");
  assert.deepEqual(loaded, []);
});

test("--url and --token go to commands that ask the admin", async () => {
  const words = ["raw", "--url", "http://gw.example.net:8025", "a", "--token", "secret"];
  assert.equal((await postern(...words)).out, '[null,["a"]] http://gw.example.net:8025 secret');
});

test("--version prints it", async () => {
  assert.deepEqual(await postern("--version"), { status: 0, out: "postern 1.2.3\n", err: "" });
});
