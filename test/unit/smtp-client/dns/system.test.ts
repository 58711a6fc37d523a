import assert from "node:assert/strict";
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import {
  HostsFile,
  nameServers,
  parseHosts,
  parseNameServer,
  parseResolvConf,
} from "../../../../shared/smtp-client/dns/system.ts";

test("a name server is an address with or without a port", () => {
  assert.deepEqual(parseNameServer("192.0.2.53"), { host: "192.0.2.53", port: 53 });
  assert.deepEqual(parseNameServer("192.0.2.53:5353"), { host: "192.0.2.53", port: 5353 });
  assert.deepEqual(parseNameServer("2001:db8::53"), { host: "2001:db8::53", port: 53 });
  assert.deepEqual(parseNameServer("[2001:db8::53]:5353"), { host: "2001:db8::53", port: 5353 });
  assert.equal(parseNameServer("dns.example.org"), undefined);
  assert.throws(() => nameServers(["dns.example.org:53"]), /dns\.example\.org/);
});

test("resolv.conf gives its name servers in order, or the one on this machine", () => {
  const text =
    "# x\nsearch example.org\nnameserver 192.0.2.1\n  nameserver 2001:db8::1 # y\nnameserver fe80::1%eth0\n";
  assert.deepEqual(parseResolvConf(text), [
    { host: "192.0.2.1", port: 53 },
    { host: "2001:db8::1", port: 53 },
  ]);
  assert.deepEqual(parseResolvConf(""), [{ host: "127.0.0.1", port: 53 }]);
});

test("the hosts file gives all addresses of a name", () => {
  const hosts = parseHosts("127.0.0.1 localhost\n::1 LocalHost ip6-loopback # c\nbad host\n192.0.2.1 a b\n");
  assert.deepEqual(hosts.get("localhost"), ["127.0.0.1", "::1"]);
  assert.deepEqual(hosts.get("b"), ["192.0.2.1"]);
  assert.equal(hosts.get("host"), undefined);
});

test("the hosts file is read again after a change, and may be missing", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-hosts-"));
  try {
    const file = path.join(directory, "hosts");
    const hosts = new HostsFile(file);
    assert.deepEqual(hosts.addresses("relay", 0), []);
    writeFileSync(file, "192.0.2.1 relay\n");
    assert.deepEqual(hosts.addresses("relay", 1000), [], "not looked at yet");
    assert.deepEqual(hosts.addresses("Relay", 6000), ["192.0.2.1"]);
    writeFileSync(file, "192.0.2.2 relay\n");
    utimesSync(file, new Date(1e12), new Date(1e12));
    assert.deepEqual(hosts.addresses("relay", 12_000), ["192.0.2.2"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
