// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what is tested
import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { formatYaml, readSource } from "../../../shared/config/source.ts";

function configOf(text: string, env: Record<string, string>): Config {
  const read = readConfig(text, "/etc/postern", env);
  assert.ok(read.kind === "ok", JSON.stringify(read));
  return read.config;
}

function errorsOf(
  text: string,
  env: Record<string, string>,
): [path: string, line: number, message: string][] {
  const read = readConfig(text, "/etc/postern", env);
  assert.ok(read.kind === "invalid");
  return read.configErrors.map(({ path, line, message }) => [path, line, message]);
}

const base = "hostname: gw\nlisteners: [{ name: a, port: 25 }]\n";

test("an unquoted variable alone is read as YAML: a port, a switch, a duration", () => {
  const config = configOf(
    "hostname: ${HOST}\nlisteners:\n  - { name: a, port: ${PORT}, early_talker: ${WAIT} }\noutgoing:\n  hide: ${HIDE}\n",
    { HOST: "gw.example.net", PORT: "2525", WAIT: "5s", HIDE: "true" },
  );
  assert.equal(config.hostname, "gw.example.net");
  assert.equal(config.listeners[0]?.port, 2525);
  assert.equal(config.listeners[0]?.early_talker, 5000);
  assert.equal(config.outgoing.hide, true);
});

test("a quoted variable is text, whatever it looks like", () => {
  assert.equal(configOf(`${base}dsn: { name: "\${NAME}" }\n`, { NAME: "12" }).dsn.name, "12");
  assert.deepEqual(errorsOf('hostname: gw\nlisteners: [{ name: a, port: "${PORT}" }]\n', { PORT: "25" }), [
    ["listeners[0].port", 2, "must be a whole number from 0 to 65535, without quotes"],
  ]);
});

test("a password of digits is text without quotes too, digit for digit", () => {
  const config = configOf(`${base}admin:\n  token: \${TOKEN}\n`, { TOKEN: "0123456789012345678901" });
  assert.equal(config.admin.token, "0123456789012345678901");
});

test("variables stand within text, several in one value", () => {
  const config = configOf(`${base}redis: { url: "redis://\${HOST}:\${PORT}/0" }\n`, { HOST: "r", PORT: "1" });
  assert.equal(config.redis?.url, "redis://r:1/0");
});

test("what a variable holds is never read as YAML structure or as another variable", () => {
  const config = configOf(`${base}dsn:\n  name: \${NAME}\n`, { NAME: "a: [b, ${HOME}] # c" });
  assert.equal(config.dsn.name, "a: [b, ${HOME}] # c");
});

test("$${ stands for the characters themselves", () => {
  const config = configOf(`${base}dsn: { name: "$\${NAME} \${NAME}" }\n`, { NAME: "x" });
  assert.equal(config.dsn.name, "${NAME} x");
});

test("each variable that is not set is an error at its place, and the only one there", () => {
  assert.deepEqual(
    errorsOf(`hostname: gw\nlisteners:\n  - name: a\n    port: \${PORT}\nredis: { url: "\${URL}" }\n`, {}),
    [
      ["listeners[0].port", 4, "takes the environment variable PORT, which is not set"],
      ["redis.url", 5, "takes the environment variable URL, which is not set"],
    ],
  );
});

test("so where the value would have had to name a file, an address or a relay host", () => {
  const paths = errorsOf(
    `${base}dns: { servers: ["\${NS}"] }\ntls: { cert: "\${CERT}", key: "\${KEY}" }\nrelay: { backup: { via: "\${VIA}" } }\n`,
    {},
  ).map(([path]) => path);
  assert.deepEqual(paths, ["dns.servers[0]", "tls.cert", "tls.key", "relay.backup.via"]);
});

test("a variable that is set and empty is an empty value", () => {
  assert.deepEqual(errorsOf(`${base}admin: { token: "\${TOKEN}" }\n`, { TOKEN: "" }), [
    ["admin.token", 3, "is empty"],
  ]);
});

test("a ${ that is no variable is an error", () => {
  for (const value of ["${}", "${A-B}", "${A:-b}", "${A"]) {
    const [configError, ...others] = errorsOf(`${base}dsn: { name: "${value}" }\n`, { A: "a" });
    assert.deepEqual([configError?.[0], configError?.[1], others], ["dsn.name", 3, []], value);
  }
});

test("a secret from the environment is in no message", () => {
  const configErrors = errorsOf(
    `${base}queue: { expire: "\${SECRET}" }\nrelay: { backup: { via: "\${SECRET}" } }\n`,
    {
      SECRET: "hunter2",
    },
  );
  assert.equal(configErrors.length, 2);
  assert.ok(!JSON.stringify(configErrors).includes("hunter2"));
});

test("comments and keys are left alone", () => {
  const config = configOf(`${base}# \${NOBODY}\nrelay:\n  hosts:\n    a: { host: h } # \${X}\n`, {});
  assert.equal(config.relay.hosts.a?.host, "h");
  assert.deepEqual(errorsOf(`${base}"\${KEY}": 1\n`, { KEY: "data" })[0]?.[0], '["${KEY}"]');
});

test("anchors, aliases and merge keys work, and an error in an alias has the line of the anchor", () => {
  const config = configOf(
    "hostname: gw\nlisteners:\n  - &a { name: a, port: 25, bare_newline: normalise }\n  - { <<: *a, name: b, port: 26 }\n",
    {},
  );
  assert.equal(config.listeners[1]?.bare_newline, "normalise");
  assert.equal(config.listeners[1]?.port, 26);
  const configErrors = errorsOf(
    "hostname: gw\nlisteners:\n  - &a { name: a, port: 25, shadow: 3 }\n  - { <<: *a, name: b, port: 26 }\n",
    {},
  );
  assert.deepEqual(
    configErrors.map(([path, line]) => [path, line]),
    [
      ["listeners[0].shadow", 3],
      ["listeners[1].shadow", 3],
    ],
  );
});

test("a configuration that is shown is read back as it was, also where a text looks like a variable", () => {
  const braces = ["NAME}", "", "{x}"].map((rest) => `a $${"{"}${rest}`);
  for (const text of [...braces, `$${braces[0]}`]) {
    const shown = formatYaml({ text });
    assert.deepEqual(readSource(shown, {}).value, { text }, shown);
  }
});
