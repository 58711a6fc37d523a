import assert from "node:assert/strict";
import { test } from "node:test";
import { rfc5322Date } from "../../../shared/mail/date.ts";
import { formatReceived, protocolKeyword, type ReceivedFacts } from "../../../shared/mail/received.ts";

const facts: ReceivedFacts = {
  helo: "client.example",
  clientAddress: "192.0.2.1",
  hostname: "gw.example.net",
  protocol: "ESMTP",
  id: "0123456789ABCDEFGH",
  atMs: Date.UTC(2025, 10, 24, 3, 59, 7, 500),
};

test("Received names client, gateway, protocol, queue id, recipient and time", () => {
  assert.equal(
    formatReceived({ ...facts, recipient: "user@example.com" }),
    "Received: from client.example ([192.0.2.1])\r\n\tby gw.example.net (Postern) with ESMTP id 0123456789ABCDEFGH\r\n\tfor <user@example.com>;\r\n\tMon, 24 Nov 2025 03:59:07 +0000\r\n",
  );
});

test("with several recipients Received names none", () => {
  assert.doesNotMatch(formatReceived(facts), /for </);
});

test("IPv6 addresses carry their tag", () => {
  assert.match(
    formatReceived({ ...facts, clientAddress: "2001:db8::1" }),
    /from client\.example \(\[IPv6:2001:db8::1\]\)/,
  );
});

test("Received names the TLS version and cipher suite", () => {
  const tls = { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" };
  assert.match(
    formatReceived({ ...facts, protocol: "ESMTPS", tls, recipient: "u@example.com" }),
    /for <u@example\.com>\r\n\ttls TLS_AES_256_GCM_SHA384 \(TLSv1\.3\);\r\n/,
  );
});

test("a malformed HELO name cannot forge a field or a clause", () => {
  const received = formatReceived({ ...facts, helo: "evil) by bank.example (x\u00e9 \\" });
  assert.match(
    received,
    /^Received: from \[192\.0\.2\.1\] \(HELO evil\?\?by\?bank\.example\?\?x\?\?\?\) \(\[192\.0\.2\.1\]\)\r\n\tby gw/,
  );
});

test("address literals as HELO names stay", () => {
  assert.match(formatReceived({ ...facts, helo: "[IPv6:::1]" }), /from \[IPv6:::1\] \(\[192/);
});

test("the protocol is one of the registered keywords", () => {
  const keyword = (ehlo: boolean, tls: boolean, smtputf8: boolean, auth = false) =>
    protocolKeyword({ ehlo, tls, auth, smtputf8 });
  assert.equal(keyword(false, false, false), "SMTP");
  assert.equal(keyword(true, false, false), "ESMTP");
  assert.equal(keyword(true, true, false), "ESMTPS");
  assert.equal(keyword(true, false, true), "UTF8SMTP");
  assert.equal(keyword(true, true, true), "UTF8SMTPS");
  assert.equal(keyword(true, true, false, true), "ESMTPSA");
  assert.equal(keyword(true, false, false, true), "ESMTPA");
  assert.equal(keyword(true, true, true, true), "UTF8SMTPSA");
});

test("dates have the form of RFC 5322, in UTC, also after other dates", () => {
  assert.equal(rfc5322Date(Date.UTC(2024, 1, 29, 23, 59, 59, 999)), "Thu, 29 Feb 2024 23:59:59 +0000");
  assert.equal(rfc5322Date(Date.UTC(2024, 2, 1)), "Fri, 01 Mar 2024 00:00:00 +0000");
});
