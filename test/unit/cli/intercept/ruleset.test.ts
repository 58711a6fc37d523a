import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planInterception } from "../../../../services/cli/intercept/plan.ts";
import { ruleset, upScript } from "../../../../services/cli/intercept/ruleset.ts";
import { testConfig } from "../../../support/config.ts";

type Given = Parameters<typeof testConfig>[0];

const listener = (address: string, destination: "tproxy" | "redirect" | "self", port = 10_025) => ({
  name: `${destination}-${port}`,
  address,
  port,
  destination,
});
const rules = (given: Given) => ruleset(planInterception(testConfig(given)));

describe("the rules for interception", () => {
  test("divert SYNs to the configured ports, tunnelled ones included, from all interfaces but loopback", () => {
    const text = rules({ listeners: [listener("0.0.0.0", "tproxy")] });
    assert.match(
      text,
      /iifname != "lo" meta nfproto ipv4 tcp dport \{ 25, 465, 587 \} tcp flags .* == syn tproxy ip to :10025/,
    );
    assert.doesNotMatch(text, /ip6/);
  });

  test("cover IPv4 and IPv6 for a listener on ::", () => {
    const text = rules({ listeners: [listener("::", "tproxy")] });
    assert.match(text, /tproxy ip to :10025/);
    assert.match(text, /tproxy ip6 to :10025/);
  });

  test("name the listener's own address where it has one", () => {
    assert.match(
      rules({ listeners: [listener("2001:db8::1", "tproxy")] }),
      /tproxy ip6 to \[2001:db8::1\]:10025/,
    );
    assert.match(rules({ listeners: [listener("192.0.2.1", "tproxy")] }), /tproxy ip to 192\.0\.2\.1:10025/);
  });

  test("divert from the configured interfaces and ports only", () => {
    const text = rules({
      listeners: [listener("0.0.0.0", "tproxy")],
      intercept: { interfaces: ["eth1", "eth2"], ports: [25], pass_ports: [] },
    });
    assert.match(text, /iifname \{ "eth1", "eth2" \} meta nfproto ipv4 tcp dport \{ 25 \}/);
    assert.doesNotMatch(text, /"lo"/);
  });

  test("pass SYNs without a listener with fail: open, and reset them by the last rule with fail: closed", () => {
    const open = rules({ listeners: [listener("0.0.0.0", "tproxy")], intercept: { fail: "open" } });
    assert.doesNotMatch(open, /reject/);
    const closed = rules({ listeners: [listener("0.0.0.0", "tproxy")], intercept: { fail: "closed" } });
    assert.ok(closed.indexOf("reject with tcp reset") > closed.indexOf("socket transparent 1"));
  });

  test("use a nat chain for a redirect listener, and warn that it cannot fail open", () => {
    const given: Given = { listeners: [listener("0.0.0.0", "redirect")], intercept: { fail: "open" } };
    assert.match(rules(given), /type nat hook prerouting.*redirect to :10025/s);
    assert.match(
      planInterception(testConfig(given)).warnings.join("\n"),
      /redirect listener cannot fail open/,
    );
  });

  test("replace the table as a whole, so that a second up leaves one set of rules", () => {
    const script = upScript(planInterception(testConfig({ listeners: [listener("0.0.0.0", "tproxy")] })));
    assert.match(script, /^table inet postern \{ \}\ndelete table inet postern\ntable inet postern \{/);
  });

  test("route replies to sessions with hide to the gateway, with or without a listener", () => {
    const socketRule = /socket transparent 1 meta mark set meta mark & 0xffff0000 \| 0x0000706f accept/;
    const redirect = [listener("0.0.0.0", "redirect")];
    assert.match(rules({ listeners: redirect, outgoing: { hide: true } }), socketRule);
    assert.doesNotMatch(rules({ listeners: redirect }), socketRule);
    const byProxy = { ...listener("127.0.0.1", "self"), destination: "proxy" as const };
    const listeners = [{ ...byProxy, trusted_proxies: ["127.0.0.1"] }];
    assert.match(rules({ listeners, outgoing: { hide: true } }), socketRule);
    assert.doesNotMatch(rules({ listeners, outgoing: { hide: true } }), /dport/);
  });

  test("need a listener that accepts intercepted connections", () => {
    assert.throws(
      () => rules({ listeners: [listener("127.0.0.1", "self", 2525)] }),
      /nothing to intercept for/,
    );
  });
});
