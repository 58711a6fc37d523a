import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { isForHost } from "../../../shared/net/certificate-name.ts";
import { selfSignedCertificate } from "../../support/certificate.ts";

const certificate = new X509Certificate(selfSignedCertificate("mx.example.com", "*.example.net").cert);

for (const [name, isNamed] of [
  ["mx.example.com", true],
  ["MX.Example.com", true],
  ["a.example.net", true],
  ["a.b.example.net", false],
  ["example.net", false],
  ["example.com", false],
  // What an MX record may say, and OpenSSL takes for every name below.
  [".example.com", false],
  [".net", false],
  [".", false],
  ["", false],
] as const) {
  test(`a certificate of mx.example.com and *.example.net is ${isNamed ? "" : "not "}for "${name}"`, () => {
    assert.equal(isForHost(certificate, name, true), isNamed);
    assert.equal(isForHost(certificate, name, false), isNamed);
  });
}
