/** `postern up` with `health.port`: each service at its port, all of them at the admin's, and every metric has its row in docs/metrics.md. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { registeredMetrics } from "../../scripts/metrics-page.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { waitFor } from "../support/wait-for.ts";

let gateway: Gateway;
let port: number;
before(async () => {
  port = await threeFreePorts();
  gateway = await startGateway({ health: { port } });
});
after(() => gateway.stop());

/** The first of three ports in a row. */
async function threeFreePorts(): Promise<number> {
  for (;;) {
    const first = await freePort();
    const others = await Promise.all(
      [freePort(first + 1), freePort(first + 2)].map((each) => each.catch(() => 0)),
    );
    if (others.every((other) => other > 0)) return first;
  }
}

const textAt = async (url: string) => (await fetch(`${url}/metrics`)).text();

/** The metrics of Postern's own in a text of Prometheus. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/^# TYPE (postern_\w+) /gm)].map(([, name = ""]) => name).sort();
}

for (const [index, service] of (["ingress", "delivery", "bounce"] as const).entries()) {
  test(`${service} is at its own port, with the metrics that the page documents`, async () => {
    const text = await textAt(`http://127.0.0.1:${port + index}`);
    assert.match(text, new RegExp(`^process_cpu_seconds_total\\{service="${service}"\\} `, "m"));
    const documented = registeredMetrics()[service].map(({ name }) => name);
    assert.deepEqual(namesIn(text), documented.sort());
  });

  test(`postern health ${service} asks ${service}`, async () => {
    const { code, stdout } = await gateway.postern("health", service);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: `${service} is ready\n` });
  });
}

test("the admin has the metrics of all services, each documented", async () => {
  const all = [
    ...new Set(Object.values(registeredMetrics()).flatMap((some) => some.map(({ name }) => name))),
  ];
  const text = await waitFor("all services to be announced", async () => {
    const page = await textAt(gateway.adminUrl);
    return page.match(/^postern_scrape_up\{.*\} 1$/gm)?.length === 3 ? page : undefined;
  });
  assert.deepEqual(namesIn(text), all.sort());
  const page = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  for (const name of all) assert.ok(page.includes(`\`${name}\``), name);
});
