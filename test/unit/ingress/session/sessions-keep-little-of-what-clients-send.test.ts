import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parseMail, parseRcpt } from "../../../../services/ingress/message/envelope-command.ts";
import { type InputConsumer, SessionInput } from "../../../../services/ingress/session/session-input.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Buffers are freed in another thread, which has ended when the next collection begins. */
function collectGarbage(): void {
  for (let i = 0; i < 3; i++) collect();
}

/** What is in use after `make()` and was not before, while its result is kept. */
function grownBy<T>(kind: "heapUsed" | "arrayBuffers", make: () => T): number {
  collectGarbage();
  const before = process.memoryUsage()[kind];
  const kept = make();
  collectGarbage();
  const grown = process.memoryUsage()[kind] - before;
  assert.ok(kept);
  return grown;
}

const count = 4000;
const padding = " ".repeat(1900);

for (const [what, parse] of [
  ["a recipient's address", (i: number) => parseRcpt(`RCPT TO:<somebody-${i}@example.org>${padding}`, false)],
  [
    "a recipient's ORCPT",
    (i: number) => parseRcpt(`RCPT TO:<a@b.example> ORCPT=rfc822;somebody-${i}@example.org${padding}`, false),
  ],
  [
    "a sender's address and ENVID",
    (i: number) =>
      parseMail(`MAIL FROM:<somebody-${i}@example.org> ENVID=an-identifier-${i}${padding}`, {
        maxMessageBytes: 0,
        requireTls: false,
        auth: false,
      }),
  ],
] as const) {
  test(`${what} does not keep the line that it came in`, () => {
    const grown = grownBy("heapUsed", () =>
      Array.from({ length: count }, (_, i) => {
        const parsed = parse(i);
        assert.notEqual(parsed.kind, "refused");
        return parsed;
      }),
    );
    assert.ok(grown < (count * padding.length) / 2, `${grown} octets for ${count} commands`);
  });
}

test("the start of a command line does not keep the chunk that it came in", () => {
  const consumer = { toleratesBareNewline: false, expectsResponse: false } as InputConsumer;
  Object.assign(consumer, { receiveLine() {}, receiveFault() {}, inputUsedUp() {} });
  const grown = grownBy("arrayBuffers", () =>
    Array.from({ length: 50 }, () => {
      const input = new SessionInput(consumer);
      const chunk = new Uint8Array(new ArrayBuffer(64 * 1024)).fill(0x20);
      chunk.set(Buffer.from("NOOP\r\n"), chunk.length - 10);
      input.write(Buffer.from(chunk.buffer));
      return input;
    }),
  );
  assert.ok(grown < 50 * 32 * 1024, `${grown} octets for 50 sessions`);
});
