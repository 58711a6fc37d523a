/** `redis.tls`, `username`, `password`, `sentinel_username` and `sentinel_password` against servers that insist on them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis, type RedisConfig } from "../../shared/runtime/redis.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { unlessInstalled } from "../support/programs.ts";
import { createRedisProcesses } from "../support/redis-servers.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessInstalled("redis-server", "openssl");
const { cert, key } = selfSignedCertificate("redis.example");
const strangers = selfSignedCertificate("stranger.example");
/** As docs/operations.md shows it. */
const users = [
  "user default off",
  "user postern on >secret ~{postern}* &{postern}* +@all -@admin -@dangerous +info",
  "user replica on >copy +psync +replconf +ping",
  "user watcher on >look allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill",
];
const login = { username: "postern", password: "secret" };
const tls = { ca: cert, servername: "redis.example" };

function startServers(t: TestContext) {
  const processes = createRedisProcesses();
  t.after(() => processes.close());
  const [certFile, keyFile] = [
    path.join(processes.directory, "cert.pem"),
    path.join(processes.directory, "key.pem"),
  ];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  const overTls = (port: number) => [
    `tls-port ${port}`,
    `tls-cert-file ${certFile}`,
    `tls-key-file ${keyFile}`,
    `tls-ca-cert-file ${certFile}`,
    "tls-auth-clients no",
    "tls-replication yes",
  ];
  return { processes, overTls };
}

/** @returns what three connections say to a write that each purpose makes, and the log */
async function writeWith(config: RedisConfig): Promise<{ answers: unknown[]; logged: string[] }> {
  const logged: string[] = [];
  const log = createLogger("test", { write: (line) => logged.push(String(JSON.parse(line).error)) });
  const answers: unknown[] = [];
  for (const purpose of ["plain", "worker", "producer"] as const) {
    const redis = createRedis(config, purpose, log);
    const isSettled = () => redis.status === "ready" || logged.length > 0;
    await waitFor("a connection, or the reason that there is none", isSettled);
    if (redis.status === "ready") {
      const written = await redis.multi().incr("{postern}:written").publish("{postern}:said", "so").exec();
      answers.push(written?.[0]?.[1] ?? "refused");
    }
    redis.disconnect();
  }
  return { answers, logged };
}

test("a server with TLS and an ACL user takes mail's jobs; with another certificate or password the log says why", {
  skip,
}, async (t) => {
  const { processes, overTls } = startServers(t);
  const port = await processes.freePort();
  await processes.start([...overTls(port), ...users], { port });
  const url = `rediss://127.0.0.1:${port}/0`;
  assert.deepEqual(await writeWith({ url, ...login, tls }), { answers: [1, 2, 3], logged: [] });
  const wrongCertificate = await writeWith({ url, ...login, tls: { ...tls, ca: strangers.cert } });
  assert.deepEqual(wrongCertificate.answers, []);
  assert.match(wrongCertificate.logged[0] ?? "", /certificate/);
  const wrongPassword = await writeWith({ url, ...login, password: "guess", tls });
  assert.deepEqual(wrongPassword.answers, []);
  assert.match(wrongPassword.logged[0] ?? "", /^WRONGPASS/);
});

test("sentinels with TLS and a user of their own lead to the primary", { skip }, async (t) => {
  const { processes, overTls } = startServers(t);
  const [port, sentinelPort] = [await processes.freePort(), await processes.freePort()];
  await processes.start([...overTls(port), ...users], { port });
  await processes.start(
    [
      ...overTls(sentinelPort),
      "user default off",
      "user guest on >ask allchannels +@all",
      `sentinel monitor mail 127.0.0.1 ${port} 1`,
      "sentinel auth-user mail watcher",
      "sentinel auth-pass mail look",
    ],
    { port: sentinelPort, sentinel: true },
  );
  const config: RedisConfig = {
    sentinels: [{ host: "127.0.0.1", port: sentinelPort }],
    name: "mail",
    ...login,
    sentinel_username: "guest",
    sentinel_password: "ask",
    tls,
  };
  assert.deepEqual(await writeWith(config), { answers: [1, 2, 3], logged: [] });
  const refused = await writeWith({ ...config, sentinel_password: "guess" });
  assert.deepEqual(refused.answers, []);
  assert.match(refused.logged[0] ?? "", /All sentinels are unreachable.*WRONGPASS/);
});

test("a cluster with TLS and an ACL user takes mail's jobs", { skip }, async (t) => {
  const { processes, overTls } = startServers(t);
  const port = await processes.freePort();
  const server = await processes.start(
    [
      ...overTls(port),
      "cluster-enabled yes",
      "tls-cluster yes",
      "cluster-announce-ip 127.0.0.1",
      `cluster-announce-tls-port ${port}`,
    ],
    { port },
  );
  await server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
  // The default user last, as which the test itself speaks.
  for (const user of users.toReversed()) await server.command("ACL", "SETUSER", ...user.split(" ").slice(1));
  const config: RedisConfig = { cluster: [{ host: "127.0.0.1", port }], ...login, tls };
  await waitFor("the cluster to work", async () => (await writeWith(config)).answers.length === 3);
  assert.deepEqual((await writeWith(config)).logged, []);
});
