import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { matchChain } from "../../../shared/smtp-client/tls/dane/match-chain.ts";
import { judge } from "../../../shared/smtp-client/tls/server-proof.ts";
import { certificateAuthority, selfSignedCertificate } from "../../support/certificate.ts";
import { mustBeOneLine, splitAtNul, type Target } from "../engine/target.ts";

const mine = new X509Certificate(selfSignedCertificate("mx.example.com", "*.example.net").cert);
const authority = new X509Certificate(certificateAuthority("An authority").cert);

/** A host name, a NUL, and a certificate in DER. */
const target: Target = {
  about: "the certificates that a server shows: names, dates, chains, and how they match TLSA records",
  cost: 2,
  maxOctets: 16_384,
  check(input) {
    const [first, der] = splitAtNul(input);
    const host = first.toString("utf8");
    const chains = [[mine], [mine, authority]];
    try {
      const shown = new X509Certificate(der);
      chains.push([shown], [shown, authority], [mine, shown], [shown, shown]);
    } catch {
      // OpenSSL refuses it in the handshake.
    }
    for (const chain of chains) {
      for (const dnsIdOnly of [false, true]) {
        const judgement = judge(
          { kind: "pkix", dnsIdOnly },
          { chain, chainError: undefined },
          host,
          Date.now(),
        );
        if (judgement.kind === "unproven") mustBeOneLine(judgement.reason.replaceAll(host, ""));
        // No name but its own.
        if (chain[0] === mine) {
          const name = host.toLowerCase();
          const isOwn = name === "mx.example.com" || /^[^.]+\.example\.net$/.test(name);
          if (/^[a-z0-9.-]*$/.test(name)) assert.equal(judgement.kind === "proven", isOwn, host);
        }
      }
      for (const data of [der, mine.raw, createHash("sha256").update(der).digest()]) {
        const records = [0, 1].flatMap((selector) =>
          [2, 3].map((usage) => ({ usage, selector, matching: data.length === 32 ? 1 : 0, data })),
        );
        const result = matchChain(chain, records, [host], Date.now());
        if (result.kind === "matches") assert.match(result.record, /^[23] [01] [01]$/);
      }
    }
  },
  seeds: [
    Buffer.concat([Buffer.from("mx.example.com\0"), mine.raw]),
    Buffer.concat([Buffer.from("a.example.net\0"), authority.raw]),
    "example.net\0x",
    "A.EXAMPLE.NET\0",
  ],
  words: [
    "*.",
    "example.net",
    "mx.",
    ".",
    "xn--",
    "\0",
    "\x06\x03\x55\x1d\x11",
    "\x30\x82",
    "192.0.2.1",
    "::1",
  ],
  long: [
    ["", "a.", "\0"],
    ["", "x", "example.net\0"],
  ],
};
export default target;
