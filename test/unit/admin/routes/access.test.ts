import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Access,
  type Caller,
  decideAccess,
  isOwnName,
} from "../../../../services/admin/routes/access.ts";
import { isLoopback } from "../../../../shared/net/network.ts";

const token = "s3cret-token";
const all = ["read", "content", "write"] as const;
const policy = { tokens: [{ name: "admin", token, scopes: all }], hostNames: ["gw.example.net"] };

function decide(
  access: Access,
  caller: Partial<Caller>,
  withPolicy: Parameters<typeof decideAccess>[2] = policy,
) {
  return decideAccess(
    access,
    {
      remoteAddress: "127.0.0.1",
      authorization: undefined,
      host: "127.0.0.1:8025",
      forwarded: false,
      ...caller,
    },
    withPolicy,
  );
}

function granted(caller: { name?: string; trusted: boolean; mayReadContent?: boolean }) {
  return { kind: "granted", caller: { name: undefined, mayReadContent: false, ...caller } };
}

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;

test("loopback reads without a token", () => {
  for (const remoteAddress of ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"]) {
    assert.deepEqual(decide("read", { remoteAddress }), granted({ trusted: true }));
  }
});

test("clients on other machines read with the token only", () => {
  for (const remoteAddress of ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", undefined]) {
    assert.equal(decide("read", { remoteAddress }).kind, "unauthenticated");
    assert.equal(decide("read", { remoteAddress, authorization: `Bearer ${token}` }).kind, "granted");
    assert.equal(decide("read", { remoteAddress, authorization: basic(`any:${token}`) }).kind, "granted");
  }
});

test("changes and contents need the token from loopback too", () => {
  for (const access of ["write", "content"] as const) {
    assert.equal(decide(access, {}).kind, "unauthenticated");
    assert.equal(decide(access, { authorization: "Bearer wrong" }).kind, "unauthenticated");
    assert.equal(decide(access, { authorization: `Bearer ${token}x` }).kind, "unauthenticated");
    assert.equal(decide(access, { authorization: `Bearer ${token}` }).kind, "granted");
    assert.equal(decide(access, { authorization: `bearer  ${token}` }).kind, "granted");
  }
});

test("credentials that a browser repeats by itself are never good for writing", () => {
  assert.equal(decide("write", { authorization: basic(`operator:${token}`) }).kind, "forbidden");
  assert.equal(decide("content", { authorization: basic(`operator:${token}`) }).kind, "granted");
});

test("wrong credentials are refused even where none are needed", () => {
  for (const authorization of ["Bearer wrong", basic("a:wrong"), "Digest x", "Bearer", "", "Bearer a b"]) {
    assert.equal(decide("read", { authorization }).kind, "unauthenticated", authorization);
  }
});

test("a foreign name that resolves to loopback reads nothing", () => {
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", undefined]) {
    assert.equal(decide("read", { host }).kind, "forbidden", host);
    assert.equal(decide("read", { host, authorization: `Bearer ${token}` }).kind, "granted");
  }
});

test("a request that a proxy on this machine passes on is not local", () => {
  assert.equal(decide("read", { forwarded: true }).kind, "unauthenticated");
});

test("probes are answered without a token, with details for trusted callers only", () => {
  assert.deepEqual(decide("open", { remoteAddress: "192.0.2.7" }), granted({ trusted: false }));
  assert.deepEqual(decide("open", { host: "evil.example" }), granted({ trusted: false }));
  assert.deepEqual(decide("open", { authorization: "Bearer wrong" }), granted({ trusted: false }));
  assert.deepEqual(decide("open", {}), granted({ trusted: true }));
  assert.deepEqual(
    decide("open", { remoteAddress: "192.0.2.7", authorization: `Bearer ${token}` }),
    granted({ name: "admin", trusted: true, mayReadContent: true }),
  );
});

test("without a configured token nobody writes, and an empty one is no password", () => {
  const none = { tokens: [], hostNames: [] };
  assert.equal(decide("write", {}, none).kind, "forbidden");
  assert.equal(decide("write", { authorization: "Bearer undefined" }, none).kind, "forbidden");
  assert.equal(decide("read", {}, none).kind, "granted");
  assert.equal(decide("read", { remoteAddress: "192.0.2.7" }, none).kind, "forbidden");
});

test("a token may do what its scopes say, and the caller has its name", () => {
  const several = {
    tokens: [
      { name: "wall", token: "w", scopes: ["read"] as const },
      { name: "support", token: "s", scopes: ["read", "content"] as const },
      { name: "oncall", token: "o", scopes: ["write"] as const },
    ],
    hostNames: [],
  };
  const table: Record<string, [Access, string][]> = {
    w: [
      ["read", "granted"],
      ["content", "forbidden"],
      ["write", "forbidden"],
    ],
    s: [
      ["read", "granted"],
      ["content", "granted"],
      ["write", "forbidden"],
    ],
    o: [
      ["read", "granted"],
      ["content", "forbidden"],
      ["write", "granted"],
    ],
  };
  for (const [secret, rows] of Object.entries(table)) {
    for (const [access, kind] of rows) {
      const decision = decide(access, { authorization: `Bearer ${secret}` }, several);
      assert.equal(decision.kind, kind, `${secret} ${access}`);
    }
  }
  assert.deepEqual(
    decide("read", { authorization: "Bearer s" }, several),
    granted({ name: "support", trusted: true, mayReadContent: true }),
  );
  assert.deepEqual(decide("content", { authorization: "Bearer w" }, several), {
    kind: "forbidden",
    detail: "The token wall lacks the scope content.",
  });
});

test("own names are localhost, addresses and configured names", () => {
  for (const host of [
    "localhost",
    "LOCALHOST:8025",
    "127.0.0.1",
    "[::1]:8025",
    "gw.example.net:80",
    "192.0.2.1",
  ]) {
    assert.ok(isOwnName(host, policy.hostNames), host);
  }
  for (const host of ["evil", "[evil]", "a@localhost", "localhost:8025:1", "127.1", "[::1", "localhost/x"]) {
    assert.ok(!isOwnName(host, policy.hostNames), host);
  }
  assert.ok(!isLoopback("not an address"));
});
