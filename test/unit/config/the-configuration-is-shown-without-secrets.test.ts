import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { configJsonSchema, type JsonSchema } from "../../../shared/config/json-schema.ts";
import { readConfig } from "../../../shared/config/load.ts";
import { masked, showConfig } from "../../../shared/config/show-config.ts";
import { formatYaml } from "../../../shared/config/source.ts";

function read(yaml: string) {
  const loaded = readConfig(yaml, "/etc/postern", {});
  assert.equal(loaded.kind, "ok", JSON.stringify(loaded));
  return loaded.kind === "ok" ? loaded.config : assert.fail();
}

const everything = `
hostname: gw.example.net
data: /var/lib/postern
redis: { url: "rediss://user:hunter2@redis.example.net:6380/1" }
dns: { servers: ["127.0.0.1:53"] }
listeners:
  - { name: transparent, port: 10025, destination: redirect, pickup: { incoming: proxy, outgoing: pass } }
  - { name: submission, port: 2525 }
intercept: { ports: [25], fail: closed }
protected:
  - { domains: [example.com, "*.example.com"], servers: ["203.0.113.25:25", "[2001:db8::25]:2525"], inline: true }
outgoing: { on_failure: 421, exceptions: [{ clients: [198.51.100.0/24], client_server: insist }] }
relay:
  clients: [127.0.0.0/8, "2001:db8::/32"]
  hosts: { isp: { host: smtp.isp.example, port: 587, auth: { user: u, password: "hunter2 $\${x}" } } }
  routes: [{ to: "*@partner.example", via: isp }, { from: "*@hr.example.com", via: "192.0.2.9:2525" }]
  backup: { via: isp, after: 90m, on: [dns, 4xx] }
queue: { retry: [90s, 1500ms, 1h], expire: 5d, delay_warning: 0 }
limits: { message: 50MB, clients: { connections: 50, rate: "100/5m" } }
admin: { token: hunter2 }
`;

for (const [name, text] of [
  ["a file with most kinds of values", everything],
  ["the file of this directory", readFileSync(new URL("../../../postern.yaml", import.meta.url), "utf8")],
] as const) {
  test(`what is shown is a configuration with the same meaning: ${name}`, () => {
    const config = read(text);
    const again = read(formatYaml(showConfig(config)).replaceAll(`:${masked}@`, ":hunter2@"));
    for (const each of [config, again]) {
      if (each.admin.token !== undefined) each.admin.token = masked;
      for (const { auth } of Object.values(each.relay.hosts)) if (auth !== undefined) auth.password = masked;
    }
    assert.deepEqual(again, config);
  });
}

test("durations, sizes, rates, networks and servers are written as in a file", () => {
  const shown = JSON.parse(JSON.stringify(showConfig(read(everything))));
  assert.deepEqual(shown.queue.retry, ["90s", "1500ms", "1h"]);
  assert.deepEqual(shown.protected[0].servers, ["203.0.113.25:25", "[2001:db8::25]:2525"]);
  assert.equal(shown.limits.message, "50MB");
  assert.equal(shown.limits.clients.rate, "100/5m");
  assert.equal(shown.relay.backup.after, "90m");
  assert.equal(shown.queue.slow_after, 3, "a default");
});

test("no secret is shown, wherever it stands", () => {
  const text = formatYaml(showConfig(read(everything)));
  assert.ok(!text.includes("hunter2"), text);
  assert.match(text, /rediss:\/\/user:\*\*\*@redis\.example\.net:6380\/1/);
  assert.match(text, /password: "?\*\*\*"?/);
  assert.match(text, /token: "?\*\*\*"?/);
});

/** Every key of text whose description speaks of a secret must be masked by its name. */
test("every key of the schema that is a secret is known as one", () => {
  const secrets: string[] = [];
  const walk = (schema: JsonSchema, key: string): void => {
    const kind = schema.description ?? "";
    if (schema.type === "string" && /^(Password|The bearer token|The token|Secret|The secret)/.test(kind))
      secrets.push(key);
    for (const [name, inner] of Object.entries(schema.properties ?? {})) walk(inner, name);
    if (schema.items !== undefined) walk(schema.items, key);
    if (typeof schema.additionalProperties === "object") walk(schema.additionalProperties, key);
  };
  walk(configJsonSchema(), "");
  assert.ok(secrets.length >= 3, secrets.join());
  for (const key of secrets) {
    const shown = showConfig({ [key]: "hunter2" } as never);
    assert.equal(shown[key], masked, key);
  }
});
