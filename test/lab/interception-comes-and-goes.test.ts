/** `postern intercept` on a gateway that has rules, routes and settings of its own: none of them is ever touched. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { posternOn, program as posternProgram, writeConfig } from "../support/lab/lab.ts";
import { addresses, buildNetwork, type LabNetwork, unlessNamespaces } from "../support/lab/network.ts";
import { unlessInstalled } from "../support/programs.ts";

const skip = unlessNamespaces() || unlessInstalled("setpriv");

const transparent = { name: "transparent", address: "::", port: 10_025, destination: "tproxy" };
const given = { listeners: [transparent] };

/** Somebody else's: the same numbers and names as ours as far as the kernel lets them be used twice. */
const foreign = `
ip rule add fwmark 0x706f/0xffff lookup 100 priority 28783
ip rule add fwmark 0x1/0x1 lookup 28783 priority 28783
ip -6 rule add fwmark 0x1/0x1 lookup 100 priority 100
ip route add 198.18.0.0/15 via ${addresses.client.ipv4} table 28783
ip route add 198.18.0.0/15 via ${addresses.client.ipv4} table 100
nft -f - <<END
table inet theirs {
  chain input { type filter hook input priority filter; policy accept; tcp dport 8025 counter accept; }
  chain divert { type filter hook prerouting priority mangle; policy accept; meta mark 0x10000 accept; }
}
table ip postern { }
END
sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.to-client.forwarding=1
sysctl -qw net.ipv4.conf.to-client.rp_filter=1 net.ipv6.conf.to-client.accept_ra=1
`;

const kernelState = `
nft list ruleset
for family in -4 -6; do ip $family rule; ip $family route show table all; done
sysctl -a -r '^net.ipv[46]\\.(ip_forward|conf\\..*(forwarding|rp_filter|accept_ra|redirects)$)'
ls /run/postern/intercept-$(readlink /proc/self/ns/net | tr -dc 0-9).json 2>/dev/null || true
`;

describe("interception on a gateway with rules of its own", { skip }, () => {
  let network: LabNetwork;
  let untouched: string;
  const shell = async (script: string): Promise<string> => {
    const { code, output } = await network.hosts.gateway.run("sh", "-euc", script);
    assert.equal(code, 0, output);
    return output;
  };
  const state = (): Promise<string> => shell(kernelState);
  const postern = (config: object, ...args: string[]) =>
    posternOn(network, { ...config }, "intercept", ...args);
  const succeed = async (config: object, ...args: string[]): Promise<string> => {
    const { code, output } = await postern(config, ...args);
    assert.equal(code, 0, output);
    return output;
  };

  before(async () => {
    network = buildNetwork();
    await shell(foreign);
    untouched = await state();
  });
  after(() => network?.down());
  afterEach(async () => assert.equal(await state(), untouched));

  test("up twice is up once, show prints it, and down twice leaves everything as it was found", async () => {
    assert.equal((await postern(given, "show")).code, 1);
    await succeed(given, "up");
    const once = await state();
    assert.match(once, /tproxy ip6 to :10025/);
    assert.match(once, /net\.ipv4\.ip_forward = 1/);
    assert.match(once, /net\.ipv6\.conf\.to-client\.accept_ra = 2/);
    assert.match(once, /net\.ipv4\.conf\.to-client\.rp_filter = 2/);
    assert.match(once, /table inet theirs/);
    await succeed(given, "up");
    assert.equal(await state(), once);
    const { isUp, missing, plan, table, sysctls } = JSON.parse(await succeed(given, "show", "--json"));
    assert.deepEqual([isUp, missing], [true, []]);
    assert.deepEqual(plan.ports, [25, 465, 587]);
    assert.match(table, /^table inet postern \{/);
    assert.equal(sysctls["ipv4/ip_forward"], "0");
    await succeed(given, "down");
    await succeed(given, "down");
  });

  test("down takes away what an earlier configuration put up, even when today's has errors", async () => {
    await succeed({ ...given, outgoing: { hide: true } }, "up");
    await succeed({ listeners: [], data: "/elsewhere" }, "down");
  });

  test("up after the configuration changed is what the new one asks for, and no more", async () => {
    await succeed(given, "up");
    const ipv4Only = { listeners: [{ ...transparent, address: "0.0.0.0" }], intercept: { ports: [2525] } };
    await succeed(ipv4Only, "up");
    const { isUp, missing, table } = JSON.parse(await succeed(ipv4Only, "show", "--json"));
    assert.deepEqual([isUp, missing], [true, []]);
    assert.match(table, /tcp dport \{ 465, 2525 \}/);
    assert.doesNotMatch(table, /ip6/);
    assert.doesNotMatch(await shell("ip -6 rule"), /0x706f/);
    await succeed(ipv4Only, "down");
  });

  test("show names what somebody took away, and up puts it back", async () => {
    await succeed(given, "up");
    const once = await state();
    await shell("nft delete table inet postern; ip -6 route del local default dev lo table 28783");
    const { code, output } = await postern(given, "show");
    assert.equal(code, 1);
    assert.match(output, /^not up: .*\nmissing: table inet postern\nmissing: the ip6 route in table 28783\n/);
    await succeed(given, "up");
    assert.equal(await state(), once);
    await succeed(given, "down");
  });

  test("a setting that somebody changed in the meantime stays theirs", async () => {
    await succeed(given, "up");
    await shell("sysctl -qw net.ipv4.conf.to-client.rp_filter=0");
    await succeed(given, "down");
    assert.match(await state(), /net\.ipv4\.conf\.to-client\.rp_filter = 0/);
    await shell("sysctl -qw net.ipv4.conf.to-client.rp_filter=1");
  });

  test("the gateway's own connections are never intercepted, its clients' are", async () => {
    const port =
      "require('node:net').createServer((s) => s.end('220 far\\r\\n')).listen(25, '::', () => console.log())";
    const server = await network.hosts.internet1.serve(process.execPath, "-e", port);
    await succeed({ ...given, intercept: { fail: "closed" } }, "up");
    for (const address of [addresses.internet1.ipv4, addresses.internet1.ipv6]) {
      const greet = ["-c", `exec 3<>/dev/tcp/${address}/25; cat <&3`];
      const own = await network.hosts.gateway.run("bash", ...greet);
      assert.equal(own.output, "220 far\r\n");
      const intercepted = await network.hosts.client.run("bash", ...greet);
      assert.match(intercepted.output, /Connection refused/);
    }
    server.kill();
    await succeed(given, "down");
  });

  test("an up that fails half-way leaves nothing behind", async () => {
    // It reads, and refuses to write.
    const refusing = `#!/bin/sh
case "$*" in *-f*) echo "Error: no room" >&2; exit 1;; esac
exec ${network.directory}/real/usr/sbin/nft "$@"
`;
    const file = `${network.directory}/nft`;
    writeFileSync(file, refusing, { mode: 0o755 });
    const { code, output } = await broken(`${without("nft")}\ncp ${file} /usr/sbin/nft`, "up");
    assert.deepEqual([code, output], [1, "postern: nft -f -: Error: no room\n"]);
  });

  for (const [program, name] of [
    ["nft", "nftables"],
    ["ip", "iproute2"],
  ] as const) {
    test(`without ${program} it says which package is missing`, async () => {
      const { code, output } = await broken(without(program), "up");
      const expected = `postern: ${program} is not installed: install Debian's package ${name}\n`;
      assert.deepEqual([code, output], [1, expected]);
    });
  }

  test("without CAP_NET_ADMIN it says so in one line, whatever was asked", async () => {
    for (const action of ["up", "down", "show"]) {
      const { code, output } = await broken("", action, "setpriv --bounding-set=-net_admin --inh-caps=-all");
      assert.equal(code, 1);
      assert.equal(output, "postern: interception needs the capability CAP_NET_ADMIN: run it as root\n");
    }
  });

  /** Takes a program away, for this command alone: `ip netns exec` gives each command mounts of its own. */
  const without = (program: string): string => `
    for directory in /usr/bin /usr/sbin; do
      real=${network.directory}/real$directory
      rest=${network.directory}/without-${program}$directory
      rm -rf $rest
      mkdir -p $real $rest
      mount --bind $directory $real
      cp -as $real/. $rest
      rm -f $rest/${program}
      mount --bind $rest $directory
    done`;

  const broken = (script: string, action: string, prefix = "") => {
    const command = `${prefix} ${posternProgram} intercept ${action} -c ${writeConfig(network, given)}`;
    return network.hosts.gateway.run("sh", "-euc", `${script}\nexec ${command}`);
  };
});
