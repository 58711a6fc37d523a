import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ask, findPrimary, nameOf, type Server } from "../../../shared/runtime/redis-slot-primary.ts";

const [a, b, c]: [Server, Server, Server] = [
  { host: "192.0.2.1", port: 7000 },
  { host: "192.0.2.2", port: 7000 },
  { host: "2001:db8::3", port: 7000 },
];
const never = new Promise<never>(() => {});

/** @param answers  of each server, its last one over and over */
function search(
  answers: Map<Server, (Server | Error | typeof never)[]>,
  signal = new AbortController().signal,
) {
  const asked: string[] = [];
  const ask: Ask = async (server) => {
    asked.push(nameOf(server));
    const [, own] = [...answers].find(([each]) => nameOf(each) === nameOf(server)) ?? [];
    const answer = own !== undefined && own.length > 1 ? own.shift() : own?.[0];
    if (answer === undefined || answer instanceof Error) throw answer ?? new Error("unknown server");
    return answer;
  };
  return { asked, found: findPrimary([a, b, c], ask, { nextAfterMs: 1, signal }) };
}

test("the first server that is asked names the primary", async () => {
  const { asked, found } = search(
    new Map([
      [a, [{ ...c }]],
      [c, [c]],
    ]),
  );
  assert.deepEqual(await found, c);
  assert.deepEqual(asked, [nameOf(a), nameOf(c)]);
});

test("a server that refuses connections and one that hangs do not keep the others from answering", async () => {
  const { found } = search(
    new Map<Server, (Server | Error | typeof never)[]>([
      [a, [new Error("refused")]],
      [b, [never]],
      [c, [c]],
    ]),
  );
  assert.deepEqual(await found, c);
});

test("while the primary of before hangs, the one that takes over from it is found", async () => {
  const { found } = search(
    new Map<Server, (Server | Error | typeof never)[]>([
      [a, [b, b, b, c]],
      [b, [never]],
      [c, [b, b, c]],
    ]),
  );
  assert.deepEqual(await found, c);
});

test("a primary that a server names, and that the configuration does not know, is asked as well", async () => {
  const fresh = { host: "192.0.2.9", port: 7001 };
  const { found } = search(
    new Map([
      [a, [fresh]],
      [fresh, [fresh]],
    ]),
  );
  assert.deepEqual(await found, fresh);
});

test("servers that all fail or name one that has failed end the search with the last failure", async () => {
  const down = new Error("connect ECONNREFUSED 192.0.2.2:7000");
  const { asked, found } = search(
    new Map<Server, (Server | Error)[]>([
      [a, [b]],
      [b, [down]],
      [c, [b]],
    ]),
  );
  await assert.rejects(found, { message: `no server of the cluster takes commands: ${down.message}` });
  assert.deepEqual(asked, [nameOf(a), nameOf(b), nameOf(c)]);
});

test("servers that name each other in a ring are not asked for ever", async () => {
  const { asked, found } = search(
    new Map([
      [a, [b]],
      [b, [c]],
      [c, [a]],
    ]),
  );
  await assert.rejects(found, /none names one that does/);
  assert.ok(asked.length < 20, `${asked.length} questions`);
});

test("a search ends at once when its connection is closed", async () => {
  const closing = new AbortController();
  const { found } = search(
    new Map([
      [a, [never]],
      [b, [never]],
      [c, [never]],
    ]),
    closing.signal,
  );
  closing.abort(new Error("closed"));
  await assert.rejects(found, /closed/);
});
