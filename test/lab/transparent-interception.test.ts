/**
 * Nobody notices the gateway: hosts as network namespaces, the kernel's interception, real Postfix, swaks and HAProxy
 * around it. One gateway has all the listeners; what the kernel leads to which of them is changed between the tests.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Gateway } from "../support/gateway.ts";
import { startHaproxy, toPostern } from "../support/lab/haproxy.ts";
import { anna, annasLogin, buildLab, type Lab, posternOn, program, unlessLab } from "../support/lab/lab.ts";
import { addresses, type HostName } from "../support/lab/network.ts";
import { type Ended, unlessInstalled } from "../support/programs.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessLab() || unlessInstalled("haproxy");

/** In random pieces; `npm run lab:soak` asks for more. */
const sessions = Number(process.env.POSTERN_LAB_SESSIONS ?? 3_000);

const haproxyPort = 10_030;
const listeners = {
  transparent: { name: "transparent", address: "::", port: 10_025, destination: "tproxy" as const },
  redirected: { name: "redirected", address: "::", port: 10_026, destination: "redirect" as const },
  shadow: { name: "shadow", address: "::", port: 10_028, destination: "tproxy" as const, shadow: true },
  dropping: {
    name: "dropping",
    address: "::",
    port: 10_029,
    destination: "tproxy" as const,
    pickup: { outgoing: "drop" as const, incoming: "pass" as const },
  },
  /** Not ours: HAProxy listens there, and hands on to the listener `behind-haproxy`. */
  haproxy: { name: "haproxy", address: "::", port: haproxyPort, destination: "tproxy" as const },
};
const behindHaproxy = {
  name: "behind-haproxy",
  address: "127.0.0.1",
  port: 10_027,
  destination: "proxy" as const,
  trusted_proxies: ["127.0.0.1"],
};

/** Servers that clients are not let through to: the second one of the internet, on which nothing takes mail. */
const insistedOn = [addresses.internet2.ipv4, addresses.internet2.ipv6];
const common = {
  outgoing: {
    hide: true,
    exceptions: [{ servers: insistedOn, client_server: "insist" as const }],
  },
  protected: [
    {
      domains: ["protected.example"],
      servers: [`${addresses.protected.ipv4}:25`, `[${addresses.protected.ipv6}]:25`],
      hide: true,
    },
  ],
  relay: { clients: ["198.51.100.0/24", "2001:db8:51::/64"] },
};

describe("behind the gateway", { skip }, () => {
  let lab: Lab;
  let gateway: Gateway;
  before(async () => {
    lab = await buildLab();
    const { haproxy: _, ...ours } = listeners;
    gateway = await lab.startGateway({ ...common, listeners: [...Object.values(ours), behindHaproxy] });
    await leadTo("transparent");
  });
  after(() => lab?.down());

  /** Leads intercepted sessions to one listener, in place of whatever they were led to. */
  const leadTo = async (name: keyof typeof listeners, intercept: object = {}): Promise<void> => {
    const { code, output } = await posternOn(
      lab,
      { ...common, data: `${gateway.directory}/data`, listeners: [listeners[name]], intercept },
      "intercept",
      "up",
    );
    assert.equal(code, 0, output);
  };
  let linesBefore = 0;
  /** swaks on a host, to the server of that address. */
  const swaks = (from: HostName, server: string, to: string, ...extra: string[]): Promise<Ended> => {
    linesBefore = gateway.log().length;
    return lab.hosts[from].run(
      ...(["swaks", "--server", server, "--from", "anna@client.example", "--to", to] as const),
      ...["--helo", "pc.client.example", ...extra],
    );
  };
  /** What the log says of the session of the last swaks: lines come a few milliseconds late. */
  const lastSession = async (event = "session.classified"): Promise<Record<string, unknown>> => {
    const find = () => gateway.log().findLast((line, at) => at >= linesBefore && line.event === event);
    await waitFor(`${event} in the log`, () => find() !== undefined);
    return find() ?? {};
  };
  const seenBy = (server: Lab["internetServer"], address: string): RegExpMatchArray[] => [
    ...server.log().matchAll(new RegExp(`client=unknown\\[${address}\\]`, "g")),
  ];
  /** Postfix writes its log through another process: lines come late. */
  const isSeen = (server: Lab["internetServer"], address: string, times: number): Promise<true> =>
    waitFor(`session ${times} in the server's log`, () => seenBy(server, address).length === times);
  const node = (host: HostName, script: string): Promise<Ended> =>
    lab.hosts[host].run(process.execPath, "-e", script);

  for (const family of ["ipv4", "ipv6"] as const) {
    const server = addresses.internet1[family];
    const client = addresses.client[family];

    describe(`over ${family}`, () => {
      test("with permit, a client's session is with the server it chose, STARTTLS and AUTH too", async () => {
        const login = ["--auth", "CRAM-MD5", "--auth-user", annasLogin, "--auth-password", anna.password];
        const sent = await swaks("client", server, "bert@one.example", "-tls", ...login);
        assert.equal(sent.code, 0, sent.output);
        assert.match(sent.output, /220 mail\.one\.example ESMTP Postfix/);
        assert.match(sent.output, /TLS peer DN="\/CN=mail\.one\.example"/);
        assert.match(sent.output, /235 2\.7\.0 Authentication successful/);
        const withLogin = new RegExp(`client=unknown\\[${client}\\], sasl_method=CRAM-MD5`);
        await waitFor("the login in the server's log", () => withLogin.test(lab.internetServer.log()));
        const session = await lastSession();
        assert.deepEqual([session.row, session.client], ["client-server", client]);
        assert.deepEqual(await gateway.queue(), []);
      });

      test("with permit, a client's session is dropped when its server is down, and nothing is queued", async () => {
        await lab.internetServer.halt();
        try {
          const sent = await swaks("client", server, "bert@one.example");
          assert.notEqual(sent.code, 0);
          assert.doesNotMatch(sent.output, /<-/);
          assert.deepEqual(await gateway.queue(), []);
        } finally {
          await lab.internetServer.start();
        }
      });

      test("with insist, a client's session is with the gateway, and the mail goes to the MX", async () => {
        // Nothing listens on the server that the client names: had the gateway gone there, nothing would have arrived.
        const before = lab.internetServer.mailbox("bert@one.example").length;
        const sent = await swaks("client", addresses.internet2[family], "bert@one.example");
        assert.equal(sent.code, 0, sent.output);
        assert.match(sent.output, /220 gw\.example\.net /);
        await waitFor(
          "the message at the MX",
          () => lab.internetServer.mailbox("bert@one.example").length === before + 1,
        );
      });

      test("mail from the internet to the protected server waits while it is down, and then shows the sender's address", async () => {
        const before = lab.protectedServer.mailbox("bert@protected.example").length;
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
        await isSeen(lab.protectedServer, addresses.internet1[family], 1);
        const message = lab.protectedServer.mailbox("bert@protected.example").at(-1) ?? "";
        assert.doesNotMatch(message, /gw\.example\.net/);
        assert.match(message, new RegExp(`from pc\\.client\\.example \\(unknown \\[[^\\]]*${server}\\]\\)`));
      });

      test("a connection to the gateway's own address is local", async () => {
        const own = family === "ipv4" ? "198.51.100.1" : "2001:db8:51::1";
        const sent = await swaks("client", own, "bert@one.example", "--quit-after", "EHLO");
        assert.match(sent.output, /220 gw\.example\.net /);
        assert.equal((await lastSession()).direction, "local");
      });

      test("a port of pass_ports is tunnelled, never read", async () => {
        const onConnect = ["--tls-on-connect", "--port", "465"];
        const sent = await swaks("client", server, "bert@one.example", ...onConnect);
        assert.equal(sent.code, 0, sent.output);
        assert.match(sent.output, /TLS peer DN="\/CN=mail\.one\.example"/);
        const { handler, setting } = await lastSession();
        assert.deepEqual([handler, setting], ["tunnel", "intercept.pass_ports"]);
      });

      test("destination: redirect knows the server and hides as well", async () => {
        await leadTo("redirected");
        try {
          const before = seenBy(lab.internetServer, client).length;
          const sent = await swaks("client", server, "bert@one.example");
          assert.equal(sent.code, 0, sent.output);
          assert.match(sent.output, /220 mail\.one\.example ESMTP Postfix/);
          const { listener, row } = await lastSession();
          assert.deepEqual([listener, row], ["redirected", "client-server"]);
          await isSeen(lab.internetServer, client, before + 1);
        } finally {
          await leadTo("transparent");
        }
      });

      test("behind HAProxy, a PROXY v2 header says who the client is and where it meant to go", async () => {
        if (family === "ipv4")
          await startHaproxy(lab.hosts.gateway, lab.directory, haproxyPort, toPostern("127.0.0.1:10027"));
        await leadTo("haproxy");
        try {
          const before = seenBy(lab.internetServer, client).length;
          const sent = await swaks("client", server, "bert@one.example");
          assert.equal(sent.code, 0, sent.output);
          assert.match(sent.output, /220 mail\.one\.example ESMTP Postfix/);
          const { listener, proxy, destination } = await lastSession("session.open");
          const expected = family === "ipv4" ? `${server}:25` : `[${server}]:25`;
          assert.deepEqual([listener, proxy, destination], ["behind-haproxy", "127.0.0.1", expected]);
          await isSeen(lab.internetServer, client, before + 1);
        } finally {
          await leadTo("transparent");
        }
      });

      test("in shadow the session is with the server, and the log says what would have been done", async () => {
        await leadTo("shadow");
        try {
          const before = seenBy(lab.protectedServer, server).length;
          const sent = await swaks("internet1", addresses.protected[family], "bert@protected.example");
          assert.equal(sent.code, 0, sent.output);
          assert.match(sent.output, /220 mail\.protected\.example ESMTP Postfix/);
          const { handler, instead } = await lastSession();
          assert.deepEqual([handler, (instead as { handler: string }).handler], ["tunnel", "queue"]);
          await isSeen(lab.protectedServer, server, before + 1);
        } finally {
          await leadTo("transparent");
        }
      });

      test("pickup: drop resets the connection without a greeting, and a tunnel passes one side's end", async () => {
        await leadTo("dropping");
        try {
          const dropped = await lab.hosts.client.run("bash", "-c", `exec 3<>/dev/tcp/${server}/25; cat <&3`);
          assert.match(dropped.output, /Connection reset by peer/);
          assert.doesNotMatch(dropped.output, /220/);
          // Port 587 of the protected server is not its mail port, so this connection would be outgoing: the shadow takes it.
          await leadTo("shadow");
          const listening = `require("node:net").createServer({ allowHalfOpen: true }, (socket) => {
            let octets = 0;
            socket.on("data", (chunk) => { octets += chunk.length; });
            socket.on("end", () => socket.end("heard " + octets));
          }).listen(587, "${addresses.protected[family]}", () => console.log("ready"));`;
          const server587 = await lab.hosts.protected.serve(process.execPath, "-e", listening);
          const spoken = await node(
            "client",
            `const socket = require("node:net").connect({ host: "${addresses.protected[family]}", port: 587, allowHalfOpen: true });
             socket.end("x".repeat(1_000_000));
             socket.pipe(process.stdout);`,
          );
          server587.kill();
          assert.equal(spoken.output, "heard 1000000");
        } finally {
          await leadTo("transparent");
        }
      });
    });
  }

  test(`${sessions} sessions in random pieces both ways carry byte-identical messages`, async () => {
    const [chunkedServer, chunkedClient] = ["server", "client"].map((name) =>
      fileURLToPath(new URL(`../support/lab/chunked-${name}.ts`, import.meta.url)),
    ) as [string, string];
    const port = "587";
    const server = await lab.hosts.internet1.serve(process.execPath, chunkedServer, "::", port);
    const half = String(Math.ceil(sessions / 2));
    for (const address of [addresses.internet1.ipv4, addresses.internet1.ipv6]) {
      const run = await lab.hosts.client.run(process.execPath, chunkedClient, address, port, half, "20", "1");
      assert.equal(run.code, 0, run.output);
      const { sessions: done, messages, failures } = JSON.parse(run.output);
      assert.deepEqual([done, failures], [Number(half), []]);
      assert.ok(messages >= done);
    }
    server.kill();
    const passed = () =>
      gateway.log().filter(({ event, server }) => event === "session.close" && /:587$/.test(`${server}`));
    await waitFor(`${sessions} sessions by the gateway`, () => passed().length >= sessions);
  });

  test("several ingress processes share the transparent port, and one goes on without the other", async () => {
    const args = ["ingress", "--health-port", "0", "--redis", `unix://${gateway.redisSocket}`];
    const second = lab.hosts.gateway.spawn(program, ...args, "-c", gateway.configFile);
    let log = "";
    second.stdout?.on("data", (chunk) => {
      log += chunk;
    });
    await waitFor("the second ingress to listen", () => /"listener":"dropping"[^\n]*"listening"/.test(log));
    const opened = (text: string): number => text.split('"session.open"').length - 1;
    // The kernel chooses by a hash of the client's port: that all of thirty go to one of two is once in 10^8.
    const greetings = async (count: number): Promise<void> => {
      const script = `for i in $(seq ${count}); do exec 3<>/dev/tcp/${addresses.internet1.ipv4}/25; read -r line <&3; echo "$line"; exec 3>&-; done`;
      const { output } = await lab.hosts.client.run("bash", "-c", script);
      assert.equal(output.match(/220 mail\.one\.example/g)?.length, count, output);
    };
    const before = gateway.log().length;
    await greetings(30);
    await waitFor("both to have had sessions", () => {
      const first = gateway
        .log()
        .slice(before)
        .filter(({ event }) => event === "session.open").length;
      return first > 0 && opened(log) > 0 && first + opened(log) === 30;
    });
    const ended = new Promise((resolve) => second.once("exit", resolve));
    second.kill("SIGTERM");
    await ended;
    await greetings(5);
  });

  test("while no ingress listens, fail: open lets the client reach its server, and fail: closed refuses it", async () => {
    await gateway.halt();
    const direct = await swaks("client", addresses.internet1.ipv6, "bert@one.example");
    assert.equal(direct.code, 0, direct.output);
    await leadTo("transparent", { fail: "closed" });
    const refused = await swaks("client", addresses.internet1.ipv6, "bert@one.example");
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, /Connection refused|Error connecting/);
    await leadTo("transparent", { fail: "open" });
    const again = await swaks("client", addresses.internet1.ipv4, "bert@one.example");
    assert.equal(again.code, 0, again.output);
  });

  test("the log names no error of ours", () => {
    const errors = gateway.log().filter(({ level }) => level === "error" || level === "fatal");
    assert.deepEqual(errors, []);
  });
});
