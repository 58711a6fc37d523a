import assert from "node:assert/strict";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { createClusterOwnConnections } from "../../shared/limits/cluster-own-connections.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { startTestIngress, type TestIngress, transparent } from "../support/ingress.ts";
import { proxyV1 } from "../support/proxy-header.ts";
import { startRedis } from "../support/redis.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { waitFor } from "../support/wait-for.ts";

/** What a balancer without an end of its own would take. */
const maxConnections = 50;

interface Balancer {
  port: number;
  /** Connections so far. */
  readonly connections: number;
}

/** A TCP balancer with the PROXY protocol in front of `backends`, one after the other, at an address that is not known as ours. */
async function startBalancer(t: TestContext, backends: TestIngress[]): Promise<Balancer> {
  let connections = 0;
  const sockets: net.Socket[] = [];
  const server = net.createServer({ pauseOnConnect: true }, (front) => {
    const ingress = backends[connections++ % backends.length];
    if (ingress === undefined || connections > maxConnections) {
      front.destroy();
      return;
    }
    const back = net.connect({ host: "127.0.0.1", port: ingress.port() });
    sockets.push(front, back);
    for (const [side, other] of [
      [front, back],
      [back, front],
    ] as const) {
      side.on("error", () => {});
      side.on("close", () => other.destroy());
    }
    back.write(
      proxyV1(endOf(front.remoteAddress, front.remotePort), endOf(front.localAddress, front.localPort)),
    );
    front.pipe(back).pipe(front);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.2", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as net.AddressInfo).port,
    get connections() {
      return connections;
    },
  };
}

function endOf(address = "", port = 0) {
  return { address, port };
}

async function startIngress(
  t: TestContext,
  pickup: "proxy" | "pass",
  more: object = {},
): Promise<TestIngress> {
  const ingress = await startTestIngress(
    { listeners: [transparent({ pickup: { outgoing: pickup } })] },
    more,
  );
  t.after(() => ingress.close(0));
  return ingress;
}

/** A client of the balancer is disconnected; the balancer's connections end soon after the first. */
async function assertNoLoop(balancer: Balancer, ingresses: TestIngress[]): Promise<void> {
  const client = await SmtpClient.connect(balancer.port, "127.0.0.2");
  assert.equal(await client.untilClosed(), "");
  const warning = await waitFor("the warning", () =>
    ingresses
      .flatMap(({ log }) => log)
      .find(({ event, level }) => event === "session.close" && level === "warn"),
  );
  assert.match(String(warning.reason), /^the gateway's own connection to 127\.0\.0\.2:\d+ has come back: /);
  assert.ok(balancer.connections < 10, `${balancer.connections} connections`);
}

for (const pickup of ["proxy", "pass"] as const) {
  test(`pickup ${pickup}: a connection to a balancer's own address ends there, and not at the balancer's limit`, async (t) => {
    const ingress = await startIngress(t, pickup);
    await assertNoLoop(await startBalancer(t, [ingress]), [ingress]);
  });

  test(`pickup ${pickup}: over several ingress processes as well`, async (t) => {
    const redis = await startRedis();
    t.after(() => redis.close());
    const ingresses: TestIngress[] = [];
    for (let i = 0; i < 3; i++) {
      const log = createLogger("test", { write() {} });
      const ownConnections = createClusterOwnConnections({ redis: { url: redis.url }, log });
      ingresses.push(await startIngress(t, pickup, { ownConnections }));
      t.after(() => ownConnections.close());
    }
    await assertNoLoop(await startBalancer(t, ingresses), ingresses);
  });
}

test("without Redis a process still knows its own connections, and a client's next one from the same port is none of them", async (t) => {
  const redis = await startRedis();
  const log = createLogger("test", { write() {} });
  const own = createClusterOwnConnections({ redis: { url: redis.url }, log });
  t.after(() => own.close());
  const ends = { from: { address: "192.0.2.1", port: 40_000 }, to: { address: "192.0.2.7", port: 25 } };
  const elsewhere = { ...ends, to: { address: "192.0.2.8", port: 25 } };
  const closed = own.add(ends);
  await redis.close();
  assert.equal(await own.has(ends), true);
  assert.equal(await own.has(elsewhere), false);
  closed();
  assert.equal(await own.has(ends), false);
});
