import assert from "node:assert/strict";
import { test } from "node:test";
import { loginServers } from "../../../../services/ingress/auth/check-servers.ts";
import { identifyNextHop } from "../../../../shared/routing/next-hop.ts";
import { testConfig } from "../../../support/config.ts";

const config = testConfig({
  protected: [
    {
      domains: ["example.com", "*.example.com"],
      servers: ["192.0.2.25:25", "192.0.2.26:25"],
      tls: "require",
    },
    { domains: ["b\u00fccher.example"], servers: ["mail.buecher.example:587"] },
  ],
});
const elsewhere = { address: "127.0.0.1", port: 2525 };

function servers(user: string, destination = elsewhere): string | undefined {
  const nextHop = loginServers(config)(user, { destination });
  return nextHop && identifyNextHop(nextHop).label;
}

test("the domain in a user's name says whose servers know the user", () => {
  assert.equal(servers("ann@example.com"), "192.0.2.25:25, 192.0.2.26:25");
  assert.equal(servers("ann@Sub.EXAMPLE.com"), "192.0.2.25:25, 192.0.2.26:25");
  assert.equal(servers("ann@b\u00fccher.example"), "mail.buecher.example:587");
  assert.equal(servers("ann@xn--bcher-kva.example"), "mail.buecher.example:587");
  assert.equal(servers("ann@other.example"), undefined);
  assert.equal(servers("ann@"), undefined);
});

test("a name without a domain is known to the protected server that the client connected to, if to any", () => {
  assert.equal(servers("ann", { address: "192.0.2.26", port: 25 }), "192.0.2.26:25");
  assert.equal(servers("ann", { address: "192.0.2.26", port: 587 }), undefined);
  assert.equal(servers("ann"), undefined);
});
