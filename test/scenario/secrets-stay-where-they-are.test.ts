/**
 * Secrets in no log, no error, no job, no page and no core file: words that stand in no other place are planted wherever a
 * secret may be, the gateway works and fails with them, and all that it wrote and answered is searched for them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { configJsonSchema } from "../../shared/config/json-schema.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { startTestStore } from "../support/s3-store.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { startTls } from "../support/start-tls.ts";
import { plainResponse, userLine } from "../support/users.ts";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));
const certificate = selfSignedCertificate("gw.example.net");
const secrets = {
  redis: "canary-redis-Xk3w",
  readToken: "canary-read-token-9fQz",
  writeToken: "canary-write-token-7bLm",
  relay: "canary-relay-P2vd",
  user: "canary-user-T8sj",
  guess: "canary-guess-W5hc",
  hash: userLine("anna", "canary-user-T8sj").trim().slice(-16),
  otlp: "canary-otlp-D4ny",
  store: "canary-store-R6gb",
  storeSession: "canary-store-session-M1xe",
  key: certificate.key.split("\n")[3] ?? "",
};

/** Each secret as it is, in base64 as AUTH has it, and as SASL PLAIN has it. */
function found(text: string): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) => {
    const forms = [
      secret,
      Buffer.from(secret).toString("base64").replace(/=+$/, ""),
      // The base64 of a response depends on where the secret stands in it: without the octets at both ends.
      ...[0, 1, 2].map((shift) => {
        const encoded = Buffer.from("\0".repeat(shift) + secret).toString("base64");
        return encoded.slice(4, -4);
      }),
    ];
    return forms.some((form) => text.includes(form)) ? [name] : [];
  });
}

let directory: string;
let redis: TestRedis;
let client: Redis;
let peer: SmtpPeer;
let gateway: Gateway;
let adminUrl: string;

before(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "postern-secrets-"));
  writeFileSync(path.join(directory, "cert.pem"), certificate.cert);
  writeFileSync(path.join(directory, "key.pem"), certificate.key);
  writeFileSync(path.join(directory, "users.txt"), userLine("anna", secrets.user));
  redis = await startRedis("tcp");
  await redis.command(`CONFIG SET requirepass ${secrets.redis}`);
  const url = new URL(redis.url);
  url.password = secrets.redis;
  client = new Redis(url.href);
  client.on("error", () => {});
  // A dump of keys shows what is in them.
  await client.config("SET", "rdbcompression", "no");
  peer = await startSmtpPeer({
    tls: certificate,
    // A server that repeats what it was told.
    script: { auth: (_mechanism, _user, password) => `535 5.7.8 ${password} is not the password` },
    users: { gateway: "another" },
  });
  const adminPort = await freePort();
  adminUrl = `http://127.0.0.1:${adminPort}`;
  gateway = await startGateway({
    redis: { url: url.href },
    tls: { cert: path.join(directory, "cert.pem"), key: path.join(directory, "key.pem") },
    auth: { users: { file: path.join(directory, "users.txt") } },
    relay: {
      clients: ["127.0.0.0/8"],
      hosts: {
        isp: {
          host: "127.0.0.1",
          port: peer.port,
          tls: "require",
          auth: { user: "gateway", password: secrets.relay },
        },
      },
      routes: [{ to: "*", via: "isp" }],
    },
    tracing: { otlp: `http://postern:${secrets.otlp}@127.0.0.1:${await freePort()}`, sample: 1 },
    admin: {
      port: adminPort,
      tokens: [
        { name: "reader", token: secrets.readToken, scopes: ["read"] },
        { name: "writer", token: secrets.writeToken, scopes: ["write"] },
      ],
    },
  } as never);
});
after(async () => {
  await gateway?.stop();
  client?.disconnect();
  await peer?.stop();
  await redis?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** @returns all replies to the session, which are no secret's place either */
async function session(t: TestContext, lines: string[], tls: boolean): Promise<string> {
  let smtp = await SmtpClient.connect(gateway.port);
  t.after(() => smtp.close());
  let replies = await smtp.reply();
  replies += await smtp.command("EHLO client.example.net");
  if (tls) {
    ({ client: smtp } = await startTls(t, smtp));
    replies += await smtp.command("EHLO client.example.net");
  }
  for (const line of lines) replies += await smtp.command(line).catch(() => "");
  smtp.close();
  return replies;
}

/** Of the gateway's processes. */
function commandLines(): string {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return "";
      }
    })
    .filter((line) => line.includes(gateway.configFile))
    .join("\n");
}

async function redisContents(): Promise<string> {
  const parts: string[] = [];
  for (const key of await client.keys("*"))
    parts.push(key, (await client.dumpBuffer(key))?.toString("latin1") ?? "");
  return parts.join("\n");
}

function filesBelow(where: string): string {
  return readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(path.join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

test("the search finds what is planted, in each of its forms", () => {
  for (const [name, secret] of Object.entries(secrets)) {
    assert.ok(secret.length >= 12, name);
    assert.deepEqual(found(`text ${secret} text`), [name]);
    assert.deepEqual(found(plainResponse("somebody", secret)), [name]);
    assert.deepEqual(found(plainResponse("so", secret)), [name]);
    assert.deepEqual(found(plainResponse("some", secret)), [name]);
  }
});

test("logins, right, wrong and muddled, leave no password anywhere", async (t) => {
  const right = plainResponse("anna", secrets.user);
  const wrong = plainResponse("anna", secrets.guess);
  const guess = Buffer.from(secrets.guess).toString("base64");
  const login = ["AUTH LOGIN", Buffer.from("anna").toString("base64"), guess];
  const accepted = await session(
    t,
    [`AUTH PLAIN ${right}`, "MAIL FROM:<anna@example.net>", "RCPT TO:<b@far.example>"],
    true,
  );
  assert.match(accepted, /235 2\.7\.0/);
  // At the same time, for each failure is answered late.
  const refused = await Promise.all([
    session(t, [`AUTH PLAIN ${wrong}`, ...login], true),
    // Without TLS; as a command; in place of the user's name, the mechanism, a parameter and a client's name.
    session(t, [`AUTH PLAIN ${wrong}`, guess, secrets.guess, `AUTH ${secrets.guess}`], false),
    session(t, ["AUTH LOGIN", guess, guess], true),
    session(t, [`AUTH PLAIN ${plainResponse(secrets.guess, secrets.guess, secrets.guess)}`], true),
  ]);
  assert.match(refused[0], /535 5\.7\.8/);
  assert.deepEqual(found(accepted + refused.join("\n")), []);
});

test("mail that waits for a server that repeats the password has no password in its reason", async (t) => {
  const replies = await session(
    t,
    ["MAIL FROM:<anna@example.net>", "RCPT TO:<bob@far.example>", "DATA", "Subject: hello\r\n\r\nhello\r\n."],
    false,
  );
  assert.match(replies, /250 2\.0\.0 Ok: queued as \w+$/);
  const [row] = await waitFor("the message to be deferred", async () => {
    const rows = await gateway.queue("--status", "deferred");
    return rows.length > 0 && rows;
  });
  assert.match(String(row?.reason), /535/);
  assert.deepEqual(found(JSON.stringify(row)), []);
});

test("no page, no answer of the API and no command shows a secret", async () => {
  const { paths } = (await (await fetch(`${adminUrl}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const [job] = await gateway.queue();
  const id = String(job?.id);
  const reads = Object.entries(paths).filter(
    ([route, methods]) => "get" in methods && !/stream|report/.test(route),
  );
  assert.ok(reads.length > 10);
  const urls = [
    ...reads.map(([route]) => route.replace("{id}", id).replace("{name}", "far.example")),
    ...[
      "/",
      "/queues/api/queues",
      "/api/v1/trace?id=bob@far.example",
      `/api/v1/config?token=${secrets.guess}`,
    ],
  ];
  for (const url of urls)
    for (const token of [undefined, secrets.readToken, secrets.writeToken, secrets.guess]) {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const text = await (await fetch(adminUrl + url, { headers })).text();
      assert.deepEqual(found(text), [], `${url}: ${text.slice(0, 2000)}`);
    }
  for (const words of [
    ["config", "show"],
    ["config", "show", "--running"],
    ["config", "show", "--json"],
    ["config", "check"],
    ["status"],
    ["queue", "show", id],
    ["trace", "bob@far.example"],
    ["explain", "--client", "127.0.0.1", "--server", "127.0.0.1", "--to", "b@far.example", "--json"],
    ["probe", "bob@far.example"],
    ["user", "list"],
    ["health"],
    ["queue", "list", "--token", secrets.guess],
    ["queue", "hold", id, "--token", secrets.guess],
  ]) {
    const { stdout, stderr } = await gateway.postern(...words);
    assert.notEqual(stdout + stderr, "", words.join(" "));
    assert.deepEqual(found(stdout + stderr), [], `${words.join(" ")}: ${stdout}${stderr}`);
  }
});

/** What may be wrong with a line that has a secret, or beside it. */
const guess = secrets.guess;
const broken: Record<string, string> = {
  "a list in place of a token": `admin: { token: [${guess}] }`,
  "a mapping in place of a token": `admin: { token: { ${guess}: 1 } }`,
  "an empty name beside it": `admin: { tokens: [{ name: "", token: ${guess} }] }`,
  "an unknown key beside it": `admin: { token: ${guess}, tokn: ${guess} }`,
  "the same token twice": `admin: { tokens: [{ name: a, token: ${guess} }, { name: b, token: ${guess} }] }`,
  "a URL of Redis that is none": `redis: { url: "redos://:${guess}@127.0.0.1:6379/0" }`,
  "a URL of Redis with a port that is none": `redis: { url: "redis://:${guess}@127.0.0.1:port/0" }`,
  "a password that YAML takes for an alias": `redis: { url: "redis://h", password: *${guess} }`,
  "a password that YAML takes for a tag": `redis: { url: "redis://h", password: !${guess} x }`,
  "a password that YAML takes for a mapping": `redis:\n  url: redis://h\n  password: a: ${guess}`,
  "a password behind a quoted one": `redis:\n  url: redis://h\n  password: "a" ${guess}`,
  "a password with a quote that does not end": `redis:\n  url: redis://h\n  password: "${guess}`,
  "a password with a reserved character": `redis:\n  url: redis://h\n  password: @${guess}`,
  "a password with a percent sign": `redis:\n  url: redis://h\n  password: %${guess}`,
  "a password with a wrong escape": `redis:\n  url: redis://h\n  password: "\\q${guess}"`,
  "a collector that is none": `tracing: { otlp: "htp://u:${guess}@127.0.0.1" }`,
  "a host without a name": `relay: { hosts: { isp: { auth: { user: u, password: ${guess} } } } }`,
  "a password without a user": `relay: { hosts: { isp: { host: h, auth: { password: ${guess} } } } }`,
  "a password of the sentinels without sentinels": `redis: { url: "redis://h", sentinel_password: ${guess} }`,
  "a password of the sentinels that YAML takes for an alias": `redis: { sentinels: ["h:1"], name: n, sentinel_password: *${guess} }`,
  "a password in place of a login": `relay: { hosts: { isp: { host: h, auth: ${guess} } } }`,
};

test("an error in the configuration is reported without the secret beside it", () => {
  const file = path.join(directory, "broken.yaml");
  for (const [name, text] of Object.entries(broken)) {
    writeFileSync(file, `hostname: gw.example.net\nlisteners: [{ name: a, port: 2525 }]\n${text}\n`);
    const { status, stdout, stderr } = spawnSync(program, ["config", "check", "-c", file], {
      encoding: "utf8",
    });
    assert.ok(status === 2 || /ok$/m.test(stdout), `${name}: ${stdout}${stderr}`);
    assert.deepEqual(found(stdout + stderr), [], `${name}: ${stdout}${stderr}`);
  }
});

test("a reload that fails, a Redis that refuses the password and a killed service log no secret", async () => {
  const text = readFileSync(gateway.configFile, "utf8");
  writeFileSync(gateway.configFile, `${text}\nwrong: "${guess}" ${guess}\n`);
  const { code, stdout, stderr } = await gateway.postern("reload", "--token", secrets.writeToken);
  assert.notEqual(code, 0);
  assert.deepEqual(found(stdout + stderr), []);
  gateway.signal("SIGHUP");
  await waitFor("the reload to fail", () => /is not YAML/.test(JSON.stringify(gateway.log())));
  writeFileSync(gateway.configFile, text);

  const stored = await redisContents();
  assert.match(stored, /far\.example/);
  assert.deepEqual(found(stored), []);
  gateway.kill("bounce");
  await client.config("SET", "requirepass", "changed");
  await client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await waitFor("Redis to refuse the gateway", () =>
    /WRONGPASS|NOAUTH|out of reach/.test(JSON.stringify(gateway.log())),
  );
  await client.config("SET", "requirepass", secrets.redis);
});

test("after all that no secret is in the log, the data, Redis or a command line", async () => {
  // Spans are exported every two seconds, here to a port where nobody listens.
  const lines = await waitFor("traces to fail", () => {
    const logged = gateway.log();
    return logged.some(({ message }) => message === "traces cannot be exported") && logged;
  });
  assert.ok(lines.some(({ event }) => event === "auth.failed"));
  for (const line of lines) assert.deepEqual(found(JSON.stringify(line)), [], JSON.stringify(line));
  assert.deepEqual(found(commandLines()), []);
  const data = filesBelow(path.join(gateway.directory, "data"));
  assert.match(data, /far\.example/);
  assert.deepEqual(found(data), []);
  for (const name of readdirSync(gateway.directory)) assert.doesNotMatch(name, /^core/);
});

test("the keys of the spool's store are in no output, no log and no file, also when the store is gone", async (t) => {
  const store = await startTestStore();
  t.after(() => store.close());
  const stored = await startGateway({
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    spool: {
      s3: {
        bucket: store.bucket,
        endpoint: store.endpoint,
        access_key_id: store.accessKeyId,
        secret_access_key: secrets.store,
        session_token: secrets.storeSession,
      },
    },
  } as never);
  t.after(() => stored.stop());
  for (const words of [["config", "show"], ["config", "show", "--running"], ["status"]]) {
    const { stdout, stderr } = await stored.postern(...words);
    assert.notEqual(stdout, "", words.join(" "));
    assert.deepEqual(found(stdout + stderr), [], words.join(" "));
  }
  await store.close();
  await waitFor("the store to be missed", () => /ECONNREFUSED/.test(JSON.stringify(stored.log())));
  assert.deepEqual(found(JSON.stringify(stored.log())), []);
  assert.deepEqual(found(filesBelow(path.join(stored.directory, "data"))), []);
});

test("every key of the configuration that holds a secret is planted here", () => {
  const names: string[] = [];
  const walk = (schema: ReturnType<typeof configJsonSchema>, key: string): void => {
    if (/(^|_)(token|password|passphrase|secret)/i.test(key)) names.push(key);
    for (const [name, inner] of Object.entries(schema.properties ?? {})) walk(inner, name);
    if (schema.items !== undefined) walk(schema.items, "");
    if (typeof schema.additionalProperties === "object") walk(schema.additionalProperties, "");
  };
  walk(configJsonSchema(), "");
  // redis.password, redis.sentinel_password, relay.hosts.*.auth.password, spool.s3.secret_access_key, spool.s3.session_token,
  // admin.token, admin.tokens[].token, admin.tokens.
  const known = ["password", "password", "secret_access_key", "sentinel_password", "session_token"];
  assert.deepEqual(names.sort(), [...known, "token", "token", "tokens"]);
});
