import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CheckResult,
  createAuthenticator,
  failureDelayMs,
  type LoginResult,
} from "../../../../services/ingress/auth/authenticator.ts";
import { WorkQueue } from "../../../../services/ingress/auth/work-queue.ts";
import { createLocalLoginFailures } from "../../../../shared/limits/login-failures.ts";
import { createLogger } from "../../../../shared/runtime/log.ts";

const limits = { client: { count: 3, periodMs: 60_000 }, user: { count: 5, periodMs: 3_600_000 } };

function setUp(atOnce = 1) {
  let checks = 0;
  let check = async (password: string): Promise<CheckResult> =>
    password === "right" ? { kind: "right" } : { kind: "wrong", isKnownUser: true };
  const authenticator = createAuthenticator({
    check: ({ password }) => {
      checks++;
      return check(password);
    },
    failures: createLocalLoginFailures(),
    limits,
    queue: new WorkQueue({ atOnce, waiting: 100 }),
    log: createLogger("test", { write() {} }),
  });
  const login = (
    password: string,
    { user = "alice", address = "192.0.2.1", signal = new AbortController().signal } = {},
  ): Promise<LoginResult> => {
    const endpoint = { address, port: 1 };
    const connection = {
      id: "x",
      listener: "l",
      client: endpoint,
      destination: endpoint,
      direction: "local" as const,
    };
    return authenticator.authenticate({ user, password, connection, signal });
  };
  return {
    login,
    checks: () => checks,
    checkBy: (other: typeof check) => {
      check = other;
    },
  };
}

test("over its limit a client's password is not looked at any more, be it right", async () => {
  const { login, checks } = setUp();
  for (const failures of [1, 2, 3])
    assert.deepEqual(await login("wrong"), { kind: "refused", failures, isKnownUser: true });
  assert.deepEqual(await login("right"), { kind: "over-limit", of: "client" });
  assert.equal(checks(), 3);
  assert.deepEqual(await login("right", { address: "192.0.2.2" }), { kind: "accepted" });
});

test("a hundred guesses at once are no more than one after another", async () => {
  const { login, checks } = setUp();
  const results = await Promise.all(Array.from({ length: 100 }, () => login("wrong")));
  assert.equal(checks(), 3);
  assert.equal(results.filter(({ kind }) => kind === "over-limit").length, 97);
});

test("an IPv6 network of /64 is one client", async () => {
  const { login } = setUp();
  for (const host of [1, 2, 3]) await login("wrong", { address: `2001:db8:1:2::${host}` });
  assert.equal((await login("right", { address: "2001:db8:1:2::4" })).kind, "over-limit");
  assert.equal((await login("right", { address: "2001:db8:1:3::1" })).kind, "accepted");
});

test("a user whose password many guess is protected, and can go on from where the user has logged in before", async () => {
  const { login, checks } = setUp();
  assert.equal((await login("right", { address: "192.0.2.77" })).kind, "accepted");
  for (const host of [1, 2, 3, 4, 5]) await login("wrong", { address: `198.51.100.${host}`, user: "Alice" });
  assert.deepEqual(await login("right", { address: "198.51.100.9" }), { kind: "over-limit", of: "user" });
  assert.equal(checks(), 6);
  assert.equal((await login("right", { address: "192.0.2.77" })).kind, "accepted");
  assert.equal((await login("right", { address: "198.51.100.9", user: "bob" })).kind, "accepted");
});

test("who has gone is not checked; what breaks or is away is nobody's failure", async () => {
  const { login, checks, checkBy } = setUp();
  assert.equal((await login("wrong", { signal: AbortSignal.abort() })).kind, "unavailable");
  assert.equal(checks(), 0);
  checkBy(async () => {
    throw new Error("out of memory");
  });
  for (let i = 0; i < 5; i++)
    assert.deepEqual(await login("right"), { kind: "unavailable", reason: "local error" });
  checkBy(async () => ({ kind: "unavailable", reason: "the server is away" }));
  for (let i = 0; i < 5; i++) assert.equal((await login("right")).kind, "unavailable");
  checkBy(async () => ({ kind: "right" }));
  assert.equal((await login("right")).kind, "accepted");
});

test("each failure of a client doubles the wait for the reply, up to eight seconds", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 1000].map(failureDelayMs), [1000, 2000, 4000, 8000, 8000, 8000]);
});
