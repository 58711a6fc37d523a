import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { Certificates } from "../../../../services/ingress/session/certificates.ts";
import { createLogger } from "../../../../shared/runtime/log.ts";
import { type Certificate, selfSignedCertificate } from "../../../support/certificate.ts";

const old = selfSignedCertificate("old.example");
const renewed = selfSignedCertificate("new.example");

function givenFiles(t: TestContext) {
  const directory = mkdtempSync(path.join(tmpdir(), "certificates-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const files = { cert: path.join(directory, "cert.pem"), key: path.join(directory, "key.pem") };
  const lines: { level: string; message: string }[] = [];
  const log = createLogger("test", { write: (line) => lines.push(JSON.parse(line)) });
  const write = ({ cert, key }: Certificate): void => {
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key);
  };
  const messages = () => lines.map(({ message }) => message);
  return { files, log, write, messages };
}

test("a new reading has the new certificate, and says until when it is valid", (t) => {
  const { files, log, write, messages } = givenFiles(t);
  write(old);
  const before = new Certificates(log);
  assert.equal(before.read(files).cert.toString(), old.cert);
  write(renewed);
  const after = new Certificates(log, before);
  assert.equal(after.read(files).cert.toString(), renewed.cert);
  assert.equal(after.read(files).key.toString(), renewed.key);
  assert.deepEqual(after.faults(), []);
  assert.match(messages().join(), /cert\.pem: a new certificate is in use, valid until \w+ +\d+ .* GMT$/);
});

test("the same certificate is no news", (t) => {
  const { files, log, write, messages } = givenFiles(t);
  write(old);
  const before = new Certificates(log);
  before.read(files);
  new Certificates(log, before).read(files);
  assert.deepEqual(messages(), []);
});

for (const [what, spoil, fault] of [
  ["a key of another certificate", { cert: renewed.cert, key: old.key }, /is not the key of the certificate/],
  ["half a certificate", { cert: renewed.cert.slice(0, 300), key: renewed.key }, /cert\.pem/],
  ["an empty key", { cert: renewed.cert, key: "" }, /key\.pem/],
] as const) {
  test(`${what}: the certificate before stays in use, and the fault is said once`, (t) => {
    const { files, log, write, messages } = givenFiles(t);
    write(old);
    const first = new Certificates(log);
    first.read(files);
    write(spoil);
    const second = new Certificates(log, first);
    assert.equal(second.read(files).cert.toString(), old.cert);
    assert.match(second.faults().join("\n"), fault);
    assert.match(second.faults().join("\n"), /; the certificate before is still in use$/);
    const third = new Certificates(log, second);
    assert.equal(third.read(files).cert.toString(), old.cert);
    assert.equal(messages().length, 1);
    write(renewed);
    const fourth = new Certificates(log, third);
    assert.equal(fourth.read(files).cert.toString(), renewed.cert);
    assert.deepEqual(fourth.faults(), []);
  });
}

test("at the start there is none before: files that cannot be used are an error with their name", (t) => {
  const { files, log } = givenFiles(t);
  assert.throws(() => new Certificates(log).read(files), /cert\.pem/);
});
