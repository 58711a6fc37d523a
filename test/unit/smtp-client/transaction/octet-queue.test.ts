import assert from "node:assert/strict";
import { test } from "node:test";
import { OctetQueue } from "../../../../shared/smtp-client/transaction/octet-queue.ts";

const block = Buffer.alloc(200 * 1024, "x");

test("octets leave the queue in order and once", () => {
  const queue = new OctetQueue();
  queue.push(Buffer.from("a"));
  queue.push(Buffer.from("b"));
  assert.equal(Buffer.concat(queue.takeAll()).toString(), "ab");
  assert.deepEqual(queue.takeAll(), []);
});

test("a client that is ahead of the server waits until its octets have been sent", async () => {
  const queue = new OctetQueue();
  assert.equal(queue.push(block), undefined, "there is room for one block");
  let hasRoom = false;
  const room = queue.push(block)?.then(() => {
    hasRoom = true;
  });
  assert.ok(room);
  queue.takeAll();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(hasRoom, false, "taken, but not yet sent");
  queue.release();
  await room;
  assert.equal(queue.push(block), undefined);
});
