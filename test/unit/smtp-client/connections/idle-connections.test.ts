import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type IdleConnection,
  IdleConnections,
  isReusable,
} from "../../../../shared/smtp-client/connections/idle-connections.ts";
import { openSession } from "../../../support/connection-pool.ts";

const idleConnection = (key: string, { sinceMs = 0, isInStep = true } = {}) => ({
  key,
  slot: { release() {} },
  session: openSession(isInStep),
  sinceMs,
});

function idleConnections() {
  const closed: IdleConnection[] = [];
  return { idle: new IdleConnections((connection) => closed.push(connection)), closed };
}

test("a message goes on with the connection that was used last, and only with one of its own key", () => {
  const { idle } = idleConnections();
  const [first, last, other] = [idleConnection("k"), idleConnection("k"), idleConnection("other")];
  for (const connection of [first, last, other]) idle.add(connection);
  assert.equal(idle.take("k"), last);
  assert.equal(idle.take("k"), first);
  assert.equal(idle.take("k"), undefined);
  assert.equal(idle.size, 1);
});

test("a connection on which more was said than was asked is closed, and carries no other message", () => {
  const { idle, closed } = idleConnections();
  const [good, spoilt] = [idleConnection("k"), idleConnection("k", { isInStep: false })];
  idle.add(good);
  idle.add(spoilt);
  assert.equal(idle.take("k"), good);
  assert.deepEqual(closed, [spoilt]);
});

test("a server that says something unasked loses its idle connection at once, and one in use is left alone", () => {
  const { idle, closed } = idleConnections();
  const [first, second] = [idleConnection("k"), idleConnection("k")];
  idle.add(first);
  idle.add(second);
  first.session.saySomething();
  assert.deepEqual(closed, [first]);
  assert.equal(idle.take("k"), second);
  second.session.saySomething();
  assert.deepEqual(closed, [first]);
});

test("a connection is closed after five idle seconds, or when its slot is needed", () => {
  const { idle, closed } = idleConnections();
  const connections = [0, 1000, 2000, 3000].map((sinceMs) => idleConnection("k", { sinceMs }));
  for (const connection of connections) idle.add(connection);
  idle.closeExpired(5999);
  assert.deepEqual(closed, connections.slice(0, 1));
  idle.closeOldest();
  assert.deepEqual(closed, connections.slice(0, 2));
  idle.closeAll();
  assert.deepEqual(closed, connections);
  assert.equal(idle.size, 0);
});

test("a session carries its number of messages, and for five minutes at most", () => {
  const session = openSession();
  assert.ok(isReusable(session, 2, 299_999));
  assert.ok(!isReusable(session, 2, 300_000), "too old");
  session.transactions = 2;
  assert.ok(!isReusable(session, 2, 1000), "messages_per_connection");
  assert.ok(!isReusable(openSession(false), 2, 1000), "a reply that answers no command");
});
