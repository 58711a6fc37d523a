/** The profile `lab` of docker-compose.yml without containers: its programs and its configuration, on addresses of loopback. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { startMailServer } from "../../deploy/lab/server.ts";
import { tellStory } from "../../deploy/lab/story.ts";
import { domains, type World, zoneOf } from "../../deploy/lab/world.ts";
import { root } from "../support/compose.ts";
import { startDnsZone } from "../support/dns-zone.ts";
import { freePort } from "../support/free-port.ts";
import { startGateway } from "../support/gateway.ts";
import { unlessInstalled, unlessRoot } from "../support/programs.ts";

const skip = unlessInstalled("redis-server") || unlessRoot();
/** Of the mail servers, and of a host without one. */
const [office, one, two, away] = ["127.0.61.25", "127.0.61.10", "127.0.61.20", "127.0.61.99"] as const;

/** The configuration as deploy/lab/gateway.sh completes it. */
function configOf(environment: Record<string, string>) {
  const text = readFileSync(join(root, "deploy/lab/postern.yaml"), "utf8");
  return parse(
    text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
      assert.ok(environment[name], `gateway.sh sets ${name}`);
      return environment[name];
    }),
  );
}

test("gateway.sh sets what the configuration of the lab takes from the environment", () => {
  const script = readFileSync(join(root, "deploy/lab/gateway.sh"), "utf8");
  const exported = /^export (.*)$/m.exec(script)?.[1]?.split(" ") ?? [];
  configOf(Object.fromEntries(exported.map((name) => [name, "x"])));
});

test("the story of the branch office goes as it should, and says so when it does not", {
  skip,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-lab-story-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const arrivals = join(directory, "arrivals");
  const port = await freePort();
  const world: World = {
    gateway: { address: "127.0.0.1", port },
    servers: {
      protected: { name: `mail.${domains.protected}`, domain: domains.protected, address: office },
      one: { name: `mail.${domains.one}`, domain: domains.one, address: one },
      two: { name: `mail.${domains.two}`, domain: domains.two, address: two },
    },
    away,
    arrivals,
  };
  const said: string[] = [];
  const print = (line: string) => said.push(line);
  const zone = await startDnsZone(zoneOf(world));
  const servers = await Promise.all(
    Object.values(world.servers).map((server) => startMailServer(server, { arrivals, print })),
  );
  t.after(() => Promise.all([zone.stop(), ...servers.map((server) => server.stop())]));
  const { hostname, listeners, outgoing, relay, queue, ...config } = configOf({
    LAB_DNS: "127.0.0.1",
    LAB_PROTECTED: office,
    LAB_TWO: two,
    LAB_NETWORK: "127.0.0.0/24",
  });
  const [listener] = listeners;
  const gateway = await startGateway({
    hostname,
    outgoing,
    relay,
    queue,
    protected: config.protected,
    listeners: [{ ...listener, address: "127.0.0.1", port }],
    dns: { servers: [zone.server] },
  });
  t.after(() => gateway.stop());

  assert.equal(await tellStory({ world, print }), 0, said.join("\n"));
  assert.match(said.join("\n"), /All 6 steps went as they should/);
  assert.deepEqual(await gateway.queue(), [], "nothing is left in a queue");

  // The last step is to fail where a server answers.
  const crowded: World = { ...world, away: one };
  assert.ok((await tellStory({ world: crowded, print })) > 0, "somebody answers where nobody should be");
});
