import assert from "node:assert/strict";
import { test } from "node:test";
import {
  firstNotBefore,
  globalId,
  lastBefore,
  streamNumber,
} from "../../../shared/events/stream/sharded-reader.ts";

test("the number of a stream is that of its shard and one; the only shard has 0", () => {
  assert.equal(streamNumber("{postern}"), 0);
  assert.equal(streamNumber("{postern-0}"), 1);
  assert.equal(streamNumber("{postern-31}"), 32);
});

test("an event of a shard has an id of its own, in the order of time", () => {
  assert.equal(globalId("1764523201123-0", 0), "1764523201123-0");
  assert.equal(globalId("1764523201123-0", 3), "1764523201123-3");
  assert.equal(globalId("1764523201123-2", 3), "1764523201123-131");
});

test("a place in the events is a place in each stream", () => {
  const table: [place: string, stream: number, lastBefore: string, firstNotBefore: string][] = [
    ["1764523201123-131", 3, "1764523201123-2", "1764523201123-2"],
    // Of the same place in another stream: later streams come after, earlier ones before.
    ["1764523201123-131", 4, "1764523201123-1", "1764523201123-2"],
    ["1764523201123-131", 2, "1764523201123-2", "1764523201123-3"],
    ["1764523201123-0", 1, "1764523201122-9999999999", "1764523201123-0"],
    ["1764523201123-0", 0, "1764523201123-0", "1764523201123-0"],
  ];
  for (const [place, stream, last, first] of table) {
    assert.equal(lastBefore(place, stream), last, `${place} in ${stream}`);
    assert.equal(firstNotBefore(place, stream), first, `${place} in ${stream}`);
  }
});
