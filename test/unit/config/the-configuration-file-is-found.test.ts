import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { loadConfig } from "../../../shared/config/load.ts";
import { selfSignedCertificate } from "../../support/certificate.ts";

const directory = mkdtempSync(path.join(tmpdir(), "postern-config-"));
after(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string) => {
  mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
  writeFileSync(path.join(directory, name), text);
};
const minimal = (hostname: string) => `hostname: ${hostname}\nlisteners: [{ name: a, port: 25 }]\n`;

test("-c wins over $POSTERN_CONFIG, which wins over ./postern.yaml", () => {
  write("postern.yaml", minimal("default"));
  write("env.yaml", minimal("environment"));
  write("given.yaml", minimal("given"));
  const hostname = (options: { file?: string; env: Record<string, string> }) => {
    const loaded = loadConfig({ cwd: directory, ...options });
    return loaded.kind === "ok" ? [loaded.config.hostname, loaded.file] : loaded;
  };
  assert.deepEqual(hostname({ env: {} }), ["default", "postern.yaml"]);
  assert.deepEqual(hostname({ env: { POSTERN_CONFIG: "" } }), ["default", "postern.yaml"]);
  assert.deepEqual(hostname({ env: { POSTERN_CONFIG: "env.yaml" } }), ["environment", "env.yaml"]);
  assert.deepEqual(hostname({ file: "given.yaml", env: { POSTERN_CONFIG: "env.yaml" } }), [
    "given",
    "given.yaml",
  ]);
});

test("a missing file is one error", () => {
  assert.deepEqual(loadConfig({ file: "gone.yaml", env: {}, cwd: directory }), {
    kind: "invalid",
    file: "gone.yaml",
    configErrors: [{ path: "", line: 0, message: "the configuration file does not exist" }],
  });
});

test("relative paths start from the directory of the configuration file", () => {
  const { cert, key } = selfSignedCertificate("gw.example.net");
  write("etc/cert.pem", cert);
  write("etc/key.pem", key);
  write(
    "etc/gateway.yaml",
    `hostname: gw
data: ../spool
tls: { cert: cert.pem, key: ./key.pem, sni: { mail.example.com: { cert: cert.pem, key: key.pem } } }
listeners: [{ name: a, port: 25, tls: { cert: cert.pem, key: key.pem } }]
redis: { url: "rediss://127.0.0.1", tls: { ca: cert.pem } }
`,
  );
  const loaded = loadConfig({ file: "etc/gateway.yaml", env: {}, cwd: directory });
  assert.ok(loaded.kind === "ok", JSON.stringify(loaded));
  const { config } = loaded;
  const certFile = path.join(directory, "etc/cert.pem");
  assert.equal(config.data, path.join(directory, "spool"));
  assert.equal(config.tls?.cert, certFile);
  assert.equal(config.tls?.sni["mail.example.com"]?.cert, certFile);
  assert.equal(config.listeners[0]?.tls?.key, path.join(directory, "etc/key.pem"));
  assert.equal(config.redis?.tls?.ca, certFile);
});

test("unusable certificates and keys are errors", () => {
  const { cert, key } = selfSignedCertificate("gw.example.net");
  write("cert.pem", cert);
  write("key.pem", key);
  write("other.pem", selfSignedCertificate("other.example").key);
  write("broken.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
  write(
    "tls.yaml",
    `hostname: gw
listeners: [{ name: a, port: 25 }]
tls:
  cert: cert.pem
  key: other.pem
  sni:
    mail.example.com:
      cert: broken.pem
      key: .
redis:
  url: rediss://127.0.0.1
  tls: { ca: key.pem }
`,
  );
  const loaded = loadConfig({ file: "tls.yaml", env: {}, cwd: directory });
  assert.ok(loaded.kind === "invalid");
  const file = (name: string) => path.join(directory, name);
  assert.deepEqual(
    loaded.configErrors.map(({ path, line, message }) => `${line}: ${path}: ${message}`),
    [
      `5: tls.key: is not the key of the certificate in ${file("cert.pem")}`,
      `8: tls.sni["mail.example.com"].cert: ${file("broken.pem")} holds no PEM that can be used here`,
      `9: tls.sni["mail.example.com"].key: ${directory} is a directory`,
      `12: redis.tls.ca: ${file("key.pem")} holds no PEM that can be used here`,
    ],
  );
});
