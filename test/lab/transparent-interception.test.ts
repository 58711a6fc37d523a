/** Nobody notices the gateway: hosts as network namespaces, the kernel's interception, real Postfix and swaks on both sides. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Gateway } from "../support/gateway.ts";
import { anna, annasLogin, buildLab, type Lab, unlessLab } from "../support/lab/lab.ts";
import { addresses } from "../support/lab/network.ts";
import type { Ended } from "../support/programs.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessLab();

const transparent = { name: "transparent", address: "::", port: 10_025, destination: "tproxy" as const };
const protectedEntry = {
  domains: ["protected.example"],
  servers: [`${addresses.protected.ipv4}:25`, `[${addresses.protected.ipv6}]:25`],
  hide: true,
};

/** What the kernel has, to see that it is as it was. */
async function kernelState(lab: Lab): Promise<string> {
  const commands = [
    "nft list ruleset",
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -6 route show table all",
  ];
  const state = await lab.hosts.gateway.run("sh", "-c", commands.join(" && "));
  const sysctls = await lab.hosts.gateway.run("sysctl", "-a", "-r", "rp_filter|ip_forward|all.forwarding");
  return state.output + sysctls.output;
}

describe("behind the gateway", { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await buildLab();
  });
  after(() => lab?.down());

  /** swaks on a host, to the server of that address. */
  const swaks = (
    from: "client" | "internet1" | "internet2",
    server: string,
    to: string,
    ...extra: string[]
  ): Promise<Ended> =>
    lab.hosts[from].run(
      "swaks",
      "--server",
      server,
      "--from",
      "anna@client.example",
      "--to",
      to,
      "--helo",
      "pc.client.example",
      ...extra,
    );
  const withGateway = async (
    given: Parameters<Lab["startGateway"]>[0],
    story: (gateway: Gateway) => Promise<void>,
  ): Promise<void> => {
    const gateway = await lab.startGateway({ listeners: [transparent], ...given });
    try {
      const up = await gateway.postern("intercept", "up");
      assert.equal(up.code, 0, up.stderr);
      await story(gateway);
    } finally {
      await gateway.postern("intercept", "down");
      await gateway.stop();
    }
  };

  for (const family of ["ipv4", "ipv6"] as const) {
    const server = addresses.internet1[family];

    test(`with permit, a client's ${family} session is with the server it chose, STARTTLS and AUTH too`, async () => {
      await withGateway({ outgoing: { hide: true } }, async (gateway) => {
        const sent = await swaks(
          "client",
          server,
          "bert@one.example",
          "-tls",
          "--auth",
          "CRAM-MD5",
          "--auth-user",
          annasLogin,
          "--auth-password",
          anna.password,
        );
        assert.equal(sent.code, 0, sent.output);
        assert.match(sent.output, /220 mail\.one\.example ESMTP Postfix/);
        assert.match(sent.output, /TLS peer DN="\/CN=mail\.one\.example"/);
        assert.match(sent.output, /235 2\.7\.0 Authentication successful/);
        assert.match(
          lab.internetServer.log(),
          new RegExp(`client=unknown\\[${addresses.client[family]}\\], sasl_method=CRAM-MD5`),
        );
        assert.deepEqual(await gateway.queue(), []);
      });
    });

    test(`with permit, a client's ${family} session is dropped when its server is down, and nothing is queued`, async (t) => {
      await lab.internetServer.halt();
      t.after(() => lab.internetServer.start());
      await withGateway({ outgoing: { hide: true } }, async (gateway) => {
        const sent = await swaks("client", server, "bert@one.example");
        assert.notEqual(sent.code, 0);
        assert.doesNotMatch(sent.output, /<-/);
        assert.deepEqual(await gateway.queue(), []);
      });
    });

    test(`with insist, a client's ${family} session is with the gateway, and the mail goes to the MX`, async () => {
      await withGateway(
        {
          outgoing: { client_server: "insist" },
          relay: { clients: ["198.51.100.0/24", "2001:db8:51::/64"] },
        },
        async () => {
          // Nothing runs on the server that the client names: had the gateway gone there, nothing would have arrived.
          const before = lab.internetServer.mailbox("bert@one.example").length;
          const sent = await swaks("client", addresses.internet2[family], "bert@one.example");
          assert.equal(sent.code, 0, sent.output);
          assert.match(sent.output, /220 gw\.example\.net /);
          await waitFor(
            "the message at the MX",
            () => lab.internetServer.mailbox("bert@one.example").length === before + 1,
          );
        },
      );
    });

    test(`mail from the internet to the protected server (${family}) waits while it is down, and then shows the sender's address`, async () => {
      const before = lab.protectedServer.mailbox("bert@protected.example").length;
      await withGateway({ protected: [protectedEntry] }, async (gateway) => {
        await lab.protectedServer.halt();
        try {
          const sent = await swaks("internet1", addresses.protected[family], "bert@protected.example");
          assert.equal(sent.code, 0, sent.output);
          await waitFor(
            "the message in the queue",
            async () => (await gateway.queue("--status", "deferred")).length === 1,
          );
        } finally {
          await lab.protectedServer.start();
        }
        await waitFor(
          "the message in the mailbox",
          () => lab.protectedServer.mailbox("bert@protected.example").length === before + 1,
        );
        assert.match(
          lab.protectedServer.log(),
          new RegExp(`client=unknown\\[${addresses.internet1[family]}\\]`),
        );
        const message = lab.protectedServer.mailbox("bert@protected.example").at(-1) ?? "";
        assert.doesNotMatch(message, /gw\.example\.net/);
        assert.match(message, /from pc\.client\.example/);
      });
    });
  }

  for (const [fail, reaches] of [
    ["open", true],
    ["closed", false],
  ] as const) {
    test(`while no ingress listens, fail: ${fail} ${reaches ? "lets the client reach its server" : "refuses the client"}`, async () => {
      const gateway = await lab.startGateway({ listeners: [transparent], intercept: { fail } });
      assert.equal((await gateway.postern("intercept", "up")).code, 0);
      await gateway.halt();
      try {
        const sent = await swaks("client", addresses.internet1.ipv4, "bert@one.example");
        assert.equal(sent.code === 0, reaches, sent.output);
      } finally {
        await gateway.postern("intercept", "down");
        await gateway.stop();
      }
    });
  }

  test("intercept up twice, then down, leaves the kernel as it was", async () => {
    const gateway = await lab.startGateway({ listeners: [transparent] });
    try {
      const before = await kernelState(lab);
      assert.equal((await gateway.postern("intercept", "up")).code, 0);
      const once = await kernelState(lab);
      assert.notEqual(once, before);
      assert.equal((await gateway.postern("intercept", "show")).code, 0);
      assert.equal((await gateway.postern("intercept", "up")).code, 0);
      assert.equal(await kernelState(lab), once);
      assert.equal((await gateway.postern("intercept", "down")).code, 0);
      assert.equal(await kernelState(lab), before);
      assert.equal((await gateway.postern("intercept", "show")).code, 1);
    } finally {
      await gateway.stop();
    }
  });

  test("a port of pass_ports is tunnelled, never read", async () => {
    await withGateway(
      { intercept: { ports: [587], pass_ports: [25] }, outgoing: { client_server: "insist" } },
      async () => {
        const sent = await swaks("client", addresses.internet1.ipv4, "bert@one.example");
        assert.match(sent.output, /220 mail\.one\.example ESMTP Postfix/);
        assert.equal(sent.code, 0, sent.output);
      },
    );
  });
});
