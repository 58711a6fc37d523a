import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { commands } from "../../services/cli/commands.ts";
import { dispatch } from "../../services/cli/dispatch.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { userLine } from "../support/users.ts";

const directory = mkdtempSync(path.join(tmpdir(), "postern-cli-"));
after(() => rmSync(directory, { recursive: true }));
const file = path.join(directory, "postern.yaml");

writeFileSync(
  file,
  `hostname: gw.example.net
listeners:
  - { name: submission, port: 587, destination: self }
  - { name: transparent, port: 25, destination: tproxy }
  - { name: watching, port: 26, destination: tproxy, shadow: true }
protected:
  - { domains: [example.com], servers: ["203.0.113.25", "203.0.113.26"], use_server_for_outgoing: true }
outgoing:
  exceptions: [{ servers: ["192.0.2.128/25"], client_server: insist }]
relay:
  clients: [198.51.100.0/24]
  hosts: { isp: { host: smtp.isp.example, port: 587, auth: { user: me, password: secret } } }
  routes: [{ from: "*@hr.example.com", via: isp }, { from: "<>", via: "192.0.2.9:26" }]
`,
);

function explain(...words: string[]) {
  return explainWith(file, ...words);
}

async function explainWith(configFile: string, ...words: string[]) {
  let stdout = "";
  let stderr = "";
  const status = await dispatch({ commands, version: "0" }, ["-c", configFile, "explain", ...words], {
    stdin: process.stdin,
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
  });
  return { status, stdout, stderr };
}

async function explainJson(...words: string[]) {
  const { status, stdout, stderr } = await explain("--json", ...words);
  assert.deepEqual([status, stderr], [0, ""]);
  return JSON.parse(stdout);
}

const client = ["--client", "198.51.100.7"];
const stranger = ["--client", "192.0.2.200"];

test("client-server: the server that the client chose, by the listener for intercepted connections", async () => {
  assert.deepEqual(await explainJson(...client, "--server", "192.0.2.1", "--to", "ann@else.example"), {
    row: "client-server",
    handler: "outgoing-proxy",
    nextHop: {
      kind: "servers",
      servers: [{ host: "192.0.2.1", port: 25 }],
      hide: false,
      text: "192.0.2.1:25",
    },
    setting: "outgoing.client_server",
    direction: "outgoing",
    listener: "transparent",
    client: "198.51.100.7",
    server: "192.0.2.1:25",
    from: null,
    to: "ann@else.example",
  });
});

test("hide that is impossible from here says why, and which address the server sees instead", async () => {
  const transparent = readFileSync(file, "utf8").replace("outgoing:\n", "outgoing:\n  hide: true\n");
  const transparentFile = path.join(directory, "transparent.yaml");
  writeFileSync(transparentFile, transparent);
  const words = [...client, "--server", "192.0.2.1", "--to", "ann@else.example"];
  // Neither root nor CAP_NET_ADMIN helps where no interception leads the replies back.
  const { nextHop, cannotHide } = JSON.parse((await explainWith(transparentFile, "--json", ...words)).stdout);
  assert.equal(nextHop.hide, true);
  assert.match(
    cannotHide,
    /^transparent sockets need |^replies to a client's IPv4 address do not come back /,
  );
  const { stdout } = await explainWith(transparentFile, ...words);
  assert.match(stdout, /\nhide is not possible here, so that the server sees this machine's address: \w/);
  assert.equal((await explainJson(...words)).cannotHide, undefined);
});

test("to-protected, domain-server, relay and denied, each with the setting that decided", async () => {
  const brief = async (...words: string[]) => {
    const { row, handler, nextHop, setting, reply } = await explainJson(...words);
    return [row, handler, nextHop?.text ?? null, setting, reply];
  };
  assert.deepEqual(await brief(...stranger, "--server", "203.0.113.26:25", "--to", "joe@example.com"), [
    "to-protected",
    "queue",
    "203.0.113.25:25, 203.0.113.26:25",
    "protected[0].domains[0]",
    undefined,
  ]);
  assert.deepEqual(await brief(...client, "--server", "203.0.113.26:25", "--to", "ann@else.example"), [
    "domain-server",
    "queue",
    "203.0.113.26:25",
    "protected[0].use_server_for_outgoing",
    undefined,
  ]);
  assert.deepEqual(await brief(...client, "--server", "192.0.2.130", "--to", "ann@else.example"), [
    "relay",
    "queue",
    "mx else.example",
    "relay.routes",
    undefined,
  ]);
  const denied = ["denied", "reject", null, "relay.clients", "550 5.7.1 Relaying denied"];
  assert.deepEqual(await brief(...stranger, "--server", "192.0.2.130", "--to", "ann@else.example"), denied);
  assert.deepEqual(
    await brief(...stranger, "--server", "203.0.113.25", "--to", "<@a.example:joe@example.com>"),
    denied,
  );
  assert.equal(
    (await brief(...stranger, "--authenticated", "--server", "192.0.2.130", "--to", "ann@else.example"))[0],
    "relay",
  );
});

test("routes may depend on the sender: without --from no sender matches, and '<>' is the null sender", async () => {
  const nextHop = (...from: string[]) =>
    explainJson(
      ...client,
      "--listener",
      "submission",
      "--server",
      "192.0.2.1",
      ...from,
      "--to",
      "ann@else.example",
    );
  const relayed = await nextHop("--from", "boss@hr.example.com");
  assert.equal(relayed.listener, "submission");
  assert.equal(relayed.direction, "local");
  assert.deepEqual(relayed.nextHop, {
    kind: "relay",
    name: "isp",
    host: "smtp.isp.example",
    port: 587,
    tls: "may",
    text: "isp (smtp.isp.example:587)",
  });
  assert.equal((await nextHop("--from", "<>")).nextHop.text, "192.0.2.9:26");
  assert.equal((await nextHop()).nextHop.text, "mx else.example");
});

test("several recipients are explained one by one", async () => {
  const answers = await explainJson(
    ...client,
    "--server",
    "192.0.2.130",
    "--to",
    "joe@example.com",
    "--to",
    "ann@else.example",
  );
  assert.deepEqual(
    answers.map(({ to, row }: { to: string; row: string }) => [to, row]),
    [
      ["joe@example.com", "to-protected"],
      ["ann@else.example", "relay"],
    ],
  );
});

test("a shadow listener tunnels, and explain says how it would handle them without shadow", async () => {
  const answer = await explainJson(
    ...client,
    "--listener",
    "watching",
    "--server",
    "192.0.2.1",
    "--to",
    "a@b.example",
  );
  assert.deepEqual([answer.row, answer.handler, answer.setting], [null, "tunnel", "listeners[2].shadow"]);
  assert.deepEqual(answer.instead, {
    handler: "outgoing-proxy",
    row: "client-server",
    setting: "outgoing.client_server",
  });
});

test("the table for people shows no password", async () => {
  const { status, stdout } = await explain(
    ...client,
    "--server",
    "203.0.113.25",
    "--from",
    "boss@hr.example.com",
    "--to",
    "joe@example.com",
    "--to",
    "ann@else.example",
  );
  assert.equal(status, 0);
  assert.deepEqual(stdout.split("\n"), [
    "198.51.100.7 to 203.0.113.25:25 is incoming, by listener transparent (destination: tproxy)",
    "",
    "TO                ROW            HANDLER  NEXT HOP                          SETTING",
    "joe@example.com   to-protected   queue    203.0.113.25:25, 203.0.113.26:25  protected[0].domains[0]",
    "ann@else.example  domain-server  queue    203.0.113.25:25                   protected[0].use_server_for_outgoing",
    "",
  ]);
  assert.ok(!stdout.includes("secret"));
});

const wrongUse: [words: string[], message: string][] = [
  [["--server", "192.0.2.1", "--to", "a@b.example"], "needs --client IP"],
  [[...client, "--to", "a@b.example"], "needs --server IP[:PORT]"],
  [[...client, "--server", "192.0.2.1"], "needs --to ADDRESS"],
  [
    ["--client", "localhost", "--server", "192.0.2.1", "--to", "a@b.example"],
    "needs an IP address for --client, not 'localhost'",
  ],
  [
    [...client, "--server", "192.0.2.1:x", "--to", "a@b.example"],
    "needs IP, IPv4:PORT or [IPv6]:PORT for --server, not '192.0.2.1:x'",
  ],
  [[...client, "--server", "192.0.2.1", "--to", "a@@b"], "needs a mail address for --to, not 'a@@b'"],
  [
    [...client, "--server", "192.0.2.1", "--to", "a@b", "--listener", "x"],
    "finds no listener 'x' in the configuration, only: submission, transparent, watching",
  ],
];

for (const [words, message] of wrongUse) {
  test(`wrong use: ${message}`, async () => {
    assert.deepEqual(await explain(...words), {
      status: 2,
      stdout: "",
      stderr: `postern explain ${message}; see 'postern explain --help'\n`,
    });
  });
}

test("a user who has logged in may relay; one who cannot have is a stranger, and it says why", async () => {
  const { cert, key } = selfSignedCertificate("gw.example.net");
  writeFileSync(path.join(directory, "cert.pem"), cert);
  writeFileSync(path.join(directory, "key.pem"), key);
  writeFileSync(path.join(directory, "users.txt"), userLine("ann", "secret"));
  const withAuth = path.join(directory, "auth.yaml");
  writeFileSync(
    withAuth,
    `${readFileSync(file, "utf8")}tls: { cert: cert.pem, key: key.pem }\nauth: { users: { file: users.txt } }\n`,
  );
  const where = ["--listener", "submission", "--server", "192.0.2.1:587", "--to", "joe@else.example"];
  const asked = async (configFile: string, ...words: string[]) =>
    JSON.parse((await explainWith(configFile, "--json", ...stranger, ...where, ...words)).stdout);
  const { row, user, cannotLogIn } = await asked(withAuth, "--user", "ann");
  assert.deepEqual([row, user, cannotLogIn], ["relay", "ann", undefined]);
  const nobody = await asked(withAuth, "--user", "bob");
  assert.deepEqual([nobody.row, nobody.reply], ["denied", "550 5.7.1 Relaying denied: authenticate first"]);
  assert.match(nobody.cannotLogIn, /users\.txt has no user bob$/);
  const without = await asked(file, "--user", "ann");
  assert.deepEqual([without.row, without.reply], ["denied", "550 5.7.1 Relaying denied"]);
  assert.equal(without.cannotLogIn, "auth is not configured");
  const { stdout } = await explainWith(withAuth, ...stranger, ...where, "--user", "bob");
  assert.match(stdout, /\nbob cannot have logged in: .*users\.txt has no user bob\n/);
});
