import assert from "node:assert/strict";
import { test } from "node:test";
import { OpenConnections } from "../../../../services/ingress/connections/open-connections.ts";

test("with no connection open, the handler is closed at once", async () => {
  const open = new OpenConnections<string>();
  await open.close(60_000);
  assert.ok(open.isClosing);
});

test("idle connections end when the service stops, and the rest is waited for", async () => {
  const open = new OpenConnections<string>();
  open.set("idle", { endWhenIdle: () => open.delete("idle"), cut: () => assert.fail("in good order") });
  open.set("in a transaction", { endWhenIdle() {}, cut: () => assert.fail("within the grace period") });
  let isClosed = false;
  const closed = open.close(60_000).then(() => {
    isClosed = true;
  });
  await Promise.resolve();
  assert.equal(open.size, 1);
  assert.equal(isClosed, false);
  open.delete("in a transaction");
  await closed;
});

test("what is open after the grace period is cut", async () => {
  const open = new OpenConnections<string>();
  const cut: string[] = [];
  for (const name of ["tunnel", "session"])
    open.set(name, {
      cut() {
        cut.push(name);
        open.delete(name);
      },
    });
  await open.close(0);
  assert.deepEqual(cut, ["tunnel", "session"]);
});

test("a client that gets its server counts as one connection, and ends as the last one set says", async () => {
  const open = new OpenConnections<string>();
  open.set("client", { cut: () => assert.fail("it is a tunnel now") });
  open.set("client", { cut: () => open.delete("client") });
  assert.equal(open.size, 1);
  await open.close(0);
});

test("two calls of close wait for the same connections", async () => {
  const open = new OpenConnections<string>();
  open.set("session", { cut() {} });
  const both = Promise.all([open.close(60_000), open.close(60_000)]);
  open.delete("session");
  await both;
});
