import assert from "node:assert/strict";
import { test } from "node:test";
import { connectFault } from "../../../../shared/smtp-client/session/disconnect-reason.ts";

const kindOf = (code: string) => connectFault(Object.assign(new Error(`connect ${code}`), { code })).kind;

test("what this machine lacks or forbids is no fault of the server", () => {
  for (const code of [
    "EMFILE",
    "ENFILE",
    "ENOBUFS",
    "ENOMEM",
    "EADDRNOTAVAIL",
    "EADDRINUSE",
    "EACCES",
    "EPERM",
    "EINVAL",
  ]) {
    assert.equal(kindOf(code), "local", code);
  }
});

test("without a way to its network, nothing is known of the server", () => {
  for (const code of ["ENETUNREACH", "EAFNOSUPPORT"]) assert.equal(kindOf(code), "unroutable", code);
});

test("every other fault is that of the server or of its network", () => {
  for (const code of ["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "EANYTHING", ""]) {
    assert.equal(kindOf(code), "closed", code);
  }
});
