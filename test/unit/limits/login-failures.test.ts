import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalLoginFailures, decideLimit } from "../../../shared/limits/login-failures.ts";

const limits = { client: { count: 2, periodMs: 1000 }, user: { count: 3, periodMs: 5000 } };

test("a period begins with the first failure, and afterwards the count begins anew", async () => {
  let nowMs = 0;
  const failures = createLocalLoginFailures(() => nowMs);
  const attempt = { client: "192.0.2.1", user: "alice" };
  assert.equal(await failures.countFailure(attempt, limits), 1);
  nowMs = 900;
  assert.equal(await failures.limitReached(attempt, limits), undefined);
  assert.equal(await failures.countFailure(attempt, limits), 2);
  assert.equal(await failures.limitReached(attempt, limits), "client");
  nowMs = 1000;
  assert.equal(await failures.limitReached(attempt, limits), undefined);
  assert.equal(await failures.countFailure(attempt, limits), 1);
  assert.equal(await failures.limitReached({ client: "192.0.2.2", user: "alice" }, limits), "user");
  nowMs = 5000;
  assert.equal(await failures.limitReached({ client: "192.0.2.2", user: "alice" }, limits), undefined);
});

test("the user's limit does not apply to a client that is known for the user, its own does", () => {
  assert.equal(decideLimit({ client: 1, user: 3, isKnownClient: false }, limits), "user");
  assert.equal(decideLimit({ client: 1, user: 3, isKnownClient: true }, limits), undefined);
  assert.equal(decideLimit({ client: 2, user: 0, isKnownClient: true }, limits), "client");
});

test("names that nobody has do not fill the memory", async () => {
  const failures = createLocalLoginFailures(() => 0);
  for (let i = 0; i < 50_000; i++) await failures.countFailure({ client: `c${i}`, user: `u${i}` }, limits);
  const last = { client: "c49999", user: "u49999" };
  assert.equal(await failures.countFailure(last, limits), 2, "the newest are kept");
  assert.equal(await failures.limitReached({ client: "c0", user: "u0" }, limits), undefined);
});
