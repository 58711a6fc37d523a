import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { parseTlsa, usableRecords } from "../../../../../shared/smtp-client/dns/tlsa.ts";
import { matchChain } from "../../../../../shared/smtp-client/tls/dane/match-chain.ts";
import {
  type Certificate,
  certificateAuthority,
  issuedBy,
  selfSignedCertificate,
  tlsaOf,
} from "../../../../support/certificate.ts";

const authority = certificateAuthority("authority.test");
const between = issuedBy(authority, { names: ["between.test"], isAuthority: true });
const server = issuedBy(between, { names: ["mx.test"] });
const lone = selfSignedCertificate("other.test");
const stranger = certificateAuthority("stranger.test");
const longAgoMs = 1_000_000_000_000;

interface Case {
  chain: Certificate[];
  /** As tlsaOf gives them. */
  records: string[];
  names?: string[];
  nowMs?: number;
}

function result({ chain, records, names = ["mx.test"], nowMs = Date.now() }: Case): string {
  const parsed = records.map((text) => {
    const [usage, selector, matching, data = ""] = text.split(" ");
    const head = Buffer.from([usage, selector, matching].map(Number));
    return parseTlsa(Buffer.concat([head, Buffer.from(data, "hex")]));
  });
  const result = matchChain(
    chain.map(({ cert }) => new X509Certificate(cert)),
    usableRecords(parsed),
    names,
    nowMs,
  );
  return result.kind === "matches" ? result.record : result.reason;
}

const kinds = [0, 1].flatMap((selector) => [0, 1, 2].map((matching) => [selector, matching] as const));

for (const [selector, matching] of kinds) {
  test(`3 ${selector} ${matching}: matches the server's own certificate or key and no other (RFC 7672 §3.1.1)`, () => {
    const records = [tlsaOf(lone, 3, selector, matching)];
    assert.equal(result({ chain: [lone], records }), `3 ${selector} ${matching}`);
    assert.match(result({ chain: [server, between], records }), /in none of its TLSA records/);
  });

  test(`2 ${selector} ${matching}: matches an authority in the chain that the server sends (RFC 7672 §3.1.2)`, () => {
    const chain = [server, between, authority];
    const kind = `2 ${selector} ${matching}`;
    assert.equal(result({ chain, records: [tlsaOf(authority, 2, selector, matching)] }), kind);
    assert.equal(result({ chain, records: [tlsaOf(between, 2, selector, matching)] }), kind);
    const records = [tlsaOf(stranger, 2, selector, matching)];
    assert.match(result({ chain, records }), /none of the trust anchors/);
  });
}

test("usage 3 checks neither the name nor the dates of the certificate (RFC 7672 §3.1.1)", () => {
  const records = [tlsaOf(lone, 3, 1, 1)];
  assert.equal(result({ chain: [lone], records, names: ["mx.test"], nowMs: longAgoMs }), "3 1 1");
});

test("usage 2 checks the name: any of those that lead to the server (RFC 7672 §3.2.3)", () => {
  const records = [tlsaOf(authority, 2, 0, 1)];
  const chain = [server, between, authority];
  assert.equal(result({ chain, records, names: ["base.test", "mx.test"] }), "2 0 1");
  assert.match(result({ chain, records, names: ["base.test"] }), /not for base.test/);
});

test("usage 2 checks the dates (RFC 7671 §5.2)", () => {
  const records = [tlsaOf(authority, 2, 0, 1)];
  assert.match(result({ chain: [server, between, authority], records, nowMs: longAgoMs }), /expired/);
});

test("usage 2 needs a certificate for servers", () => {
  const client = issuedBy(authority, { names: ["mx.test"], purpose: "clientAuth" });
  const records = [tlsaOf(authority, 2, 0, 1)];
  assert.match(result({ chain: [client, authority], records }), /not for TLS servers/);
  const forServers = issuedBy(authority, { names: ["mx.test"], purpose: "serverAuth" });
  assert.equal(result({ chain: [forServers, authority], records }), "2 0 1");
});

test("an anchor that the record contains in full need not be sent (RFC 7671 §5.2.2, §5.2.3)", () => {
  assert.equal(result({ chain: [server, between], records: [tlsaOf(authority, 2, 0, 0)] }), "2 0 0");
  assert.equal(result({ chain: [server, between], records: [tlsaOf(authority, 2, 1, 0)] }), "2 1 0");
  assert.match(result({ chain: [server, between], records: [tlsaOf(authority, 2, 0, 1)] }), /trust anchors/);
  assert.match(result({ chain: [server, between], records: [tlsaOf(stranger, 2, 1, 0)] }), /trust anchors/);
});

test("a server that only sends somebody's authority is not authenticated", () => {
  const records = [tlsaOf(authority, 2, 0, 1)];
  const forged = issuedBy(stranger, { names: ["mx.test"] });
  assert.match(result({ chain: [forged, authority], records }), /trust anchors/);
  const namesake = certificateAuthority("authority.test", 2);
  const better = issuedBy(namesake, { names: ["mx.test"], hidesIssuerKey: true });
  assert.ok(new X509Certificate(better.cert).checkIssued(new X509Certificate(authority.cert)));
  assert.match(result({ chain: [better, authority], records }), /trust anchors/);
});

test("a server's certificate issues no other certificates, even under an anchor", () => {
  const leaf = issuedBy(authority, { names: ["leaf.test"] });
  const forged = issuedBy(leaf, { names: ["mx.test"] });
  assert.match(
    result({ chain: [forged, leaf, authority], records: [tlsaOf(authority, 2, 0, 1)] }),
    /anchors/,
  );
});

test("a record with neither a certificate nor a key matches nothing", () => {
  const records = ["2 0 0 00ff", "2 1 0 00ff", "3 0 0 00ff"];
  assert.match(result({ chain: [server, between], records }), /trust anchors/);
});

test("a server without a certificate matches nothing", () => {
  assert.match(result({ chain: [], records: [tlsaOf(server, 3, 1, 1)] }), /no certificate/);
});
