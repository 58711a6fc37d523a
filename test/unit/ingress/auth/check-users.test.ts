import assert from "node:assert/strict";
import { createHook } from "node:async_hooks";
import { test } from "node:test";
import type { CheckResult } from "../../../../services/ingress/auth/authenticator.ts";
import { checkUsers } from "../../../../services/ingress/auth/check-users.ts";
import { parseUserList, type Users } from "../../../../shared/users/user-list.ts";
import { userLine } from "../../../support/users.ts";

function usersOf(text: string): Users {
  const parsed = parseUserList(text);
  if (parsed.kind === "invalid") throw new Error(parsed.faults[0]?.message);
  return parsed.users;
}

/** Checks a login, and counts the scrypt jobs that it takes. */
async function check(
  users: Users,
  user: string,
  password: string,
): Promise<{ result: CheckResult; jobs: number }> {
  let jobs = 0;
  const hook = createHook({
    init(_, type) {
      if (type === "SCRYPTREQUEST") jobs++;
    },
  }).enable();
  const endpoint = { address: "192.0.2.1", port: 1 };
  const connection = {
    id: "x",
    listener: "l",
    client: endpoint,
    destination: endpoint,
    direction: "local" as const,
  };
  const request = { user, password, connection, signal: new AbortController().signal };
  const result = await checkUsers({ current: async () => users })(request);
  hook.disable();
  return { result, jobs };
}

test("the right password of a user is right, another one is wrong, and so is any of a name that nobody has", async () => {
  const users = usersOf(userLine("alice", "open sesame"));
  assert.deepEqual((await check(users, "alice", "open sesame")).result, { kind: "right" });
  assert.deepEqual((await check(users, "alice", "swordfish")).result, { kind: "wrong", isKnownUser: true });
  assert.deepEqual((await check(users, "bob", "open sesame")).result, { kind: "wrong", isKnownUser: false });
});

test("a name that nobody has takes as much work as one that exists, also where there are no users at all", async () => {
  const users = usersOf(userLine("alice", "open sesame"));
  assert.equal((await check(users, "alice", "swordfish")).jobs, 1);
  assert.equal((await check(users, "bob", "swordfish")).jobs, 1);
  assert.equal((await check(new Map(), "bob", "swordfish")).jobs, 1);
});
