import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { describeConfigErrors, type LoadedConfig, loadConfig } from "../../../shared/config/load.ts";
import { compileRouting } from "../../../shared/routing/classify.ts";

const listeners = "hostname: gw.example.net\nlisteners: [{ name: a, port: 2525 }]\n";

function directory(t: TestContext, files: Record<string, string>) {
  const cwd = mkdtempSync(path.join(tmpdir(), "postern-lists-"));
  t.after(() => rmSync(cwd, { recursive: true }));
  const write = (name: string, text: string) => writeFileSync(path.join(cwd, name), text);
  for (const [name, text] of Object.entries(files)) write(name, text);
  const load = (before?: LoadedConfig & { kind: "ok" }) =>
    loadConfig({ file: "postern.yaml", env: {}, cwd, ...(before === undefined ? {} : { before }) });
  const loadValid = () => {
    const loaded = load();
    assert.ok(loaded.kind === "ok", loaded.kind === "ok" ? "" : describeConfigErrors(loaded).join("\n"));
    return loaded;
  };
  return { cwd, write, load, loadValid };
}

const stranger = { client: { address: "192.0.2.7", port: 1 }, direction: "local" as const };
const destination = { address: "192.0.2.1", port: 25 };

test("domains, networks and routes stand in files, one a line, with comments", (t) => {
  const { cwd, loadValid } = directory(t, {
    "postern.yaml": `${listeners}protected: [{ domains: { file: domains.txt }, servers: ["192.0.2.1"] }]
relay: { clients: { file: clients.txt }, routes: { file: routes.txt } }
outgoing: { exceptions: [{ clients: { file: clients.txt }, client_server: insist }] }
`,
    "domains.txt": "# ours\nexample.com\n\n  *.example.com   # and below\r\n",
    "clients.txt": "198.51.100.0/24\n2001:db8::/32\n",
    "routes.txt": "*@partner.example 192.0.2.9:25\nfrom=*@hr.example.com via=192.0.2.8:25 to=*\n",
  });
  const { config, files } = loadValid();
  assert.deepEqual(config.protected[0]?.domains, ["example.com", "*.example.com"]);
  assert.deepEqual(config.relay.routes, [
    { to: "*@partner.example", via: "192.0.2.9:25" },
    { from: "*@hr.example.com", via: "192.0.2.8:25", to: "*" },
  ]);
  assert.ok(config.relay.clients[0]?.contains("198.51.100.7"));
  assert.ok(config.outgoing.exceptions[0]?.clients?.[1]?.contains("2001:db8::1"));
  assert.deepEqual(
    files.toSorted(),
    ["clients.txt", "domains.txt", "routes.txt"].map((name) => path.join(cwd, name)),
  );
});

test("errors name the file and the line; so does a clash between two files", (t) => {
  const { load } = directory(t, {
    "postern.yaml": `${listeners}protected:
  - { domains: { file: a.txt }, servers: ["192.0.2.1"] }
  - { domains: { file: b.txt }, servers: ["192.0.2.2"] }
  - { domains: { file: missing.txt }, servers: ["192.0.2.3"] }
relay: { clients: { files: x }, routes: { file: routes.txt } }
`,
    "a.txt": "example.com\nnot a domain\n",
    "b.txt": "\nexample.com\n",
    "routes.txt": "*@partner.example\n*@other.example nowhere\n",
  });
  const loaded = load();
  assert.ok(loaded.kind === "invalid");
  const lines = describeConfigErrors(loaded).join("\n");
  for (const line of [
    /^a\.txt:2: protected\[0\]\.domains: is not a domain/m,
    /^b\.txt:2: protected\[1\]\.domains\[0\]: is protected already \(a\.txt:1\)$/m,
    /^postern\.yaml:6: protected\[2\]\.domains: .*missing\.txt does not exist$/m,
    /^postern\.yaml:7: relay\.clients: is neither a list nor \{ file: PATH \}$/m,
    /^routes\.txt:1: relay\.routes: is not a route/m,
    /^routes\.txt:2: relay\.routes\[0\]\.via: names nothing/m,
  ])
    assert.match(lines, line);
});

test("while a file has errors, what it had before stays in force; other files are taken", (t) => {
  const { write, load, loadValid } = directory(t, {
    "postern.yaml": `${listeners}protected: [{ domains: { file: domains.txt }, servers: ["192.0.2.1"] }]
relay: { clients: { file: clients.txt } }
`,
    "domains.txt": "example.com\n",
    "clients.txt": "198.51.100.0/24\n",
  });
  const before = loadValid();
  write("domains.txt", "example.com\nexample .org\n");
  write("clients.txt", "203.0.113.0/24\n");
  write("postern.yaml", "is not read again");
  const loaded = load(before);
  assert.ok(loaded.kind === "ok");
  assert.deepEqual(loaded.config.protected[0]?.domains, ["example.com"]);
  assert.ok(loaded.config.relay.clients[0]?.contains("203.0.113.1"));
  assert.match(loaded.kept.join("\n"), /^domains\.txt:2: is not a domain/);
});

test("twenty thousand domains, networks and routes are loaded, and looked up without a walk through them", (t) => {
  const count = 20_000;
  const numbers = Array.from({ length: count }, (_, index) => index);
  const { loadValid } = directory(t, {
    "postern.yaml": `${listeners}protected: [{ domains: { file: domains.txt }, servers: ["192.0.2.1"] }]
relay: { clients: { file: clients.txt }, routes: { file: routes.txt } }
`,
    "domains.txt": numbers.map((n) => `${n % 2 ? "*." : ""}customer-${n}.example\n`).join(""),
    "clients.txt": numbers.map((n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}\n`).join(""),
    "routes.txt": numbers.map((n) => `*@partner-${n}.example 192.0.2.9:${1 + (n % 1000)}\n`).join(""),
  });
  const { config } = loadValid();
  assert.equal(config.protected[0]?.domains.length, count);
  const routing = compileRouting(config);
  const rowOf = (recipient: string, client = stranger.client.address) =>
    routing.classifyRecipient(
      { ...stranger, destination, client: { address: client, port: 1 } },
      { reversePath: "a@b.example", recipient },
    ).row;
  // Walks through all entries each time would take minutes.
  for (let n = 0; n < count; n += 100) {
    assert.equal(rowOf(`x@customer-${n}.example`), "to-protected");
    assert.equal(rowOf(`x@mail.customer-${n + 1}.example`), "to-protected");
    assert.equal(rowOf(`x@partner-${n}.example`, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`), "relay");
    assert.equal(rowOf(`x@partner-${n}.example`, "10.9.9.9"), "denied");
  }
});
