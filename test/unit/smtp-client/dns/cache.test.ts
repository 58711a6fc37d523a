import assert from "node:assert/strict";
import { test } from "node:test";
import { TtlCache } from "../../../../shared/smtp-client/dns/cache.ts";

test("an entry is there until it expires", () => {
  const cache = new TtlCache<string>(10);
  cache.set("a", "1", 1000);
  assert.equal(cache.get("a", 999), "1");
  assert.equal(cache.get("a", 1000), undefined);
  assert.equal(cache.size, 0);
});

test("a full cache drops its oldest entry", () => {
  const cache = new TtlCache<string>(2);
  cache.set("a", "1", 1000);
  cache.set("b", "2", 1000);
  cache.set("a", "3", 1000);
  cache.set("c", "4", 1000);
  assert.equal(cache.get("b", 0), undefined);
  assert.equal(cache.get("a", 0), "3");
  assert.equal(cache.get("c", 0), "4");
});
