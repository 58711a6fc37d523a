import assert from "node:assert/strict";
import { test } from "node:test";
import { fileWarnings } from "../../../shared/runtime/run-service.ts";

test("files that the disk cannot read are one line, however many there are", () => {
  const faults = [1, 2, 3].map((n) => ({ place: `segments/${n}.seg`, reason: "EIO: i/o error, read" }));
  assert.deepEqual(fileWarnings([]), []);
  assert.deepEqual(fileWarnings(faults.slice(0, 1)), [
    "the spool cannot read segments/1.seg (EIO: i/o error, read); everything else is read",
  ]);
  assert.deepEqual(fileWarnings(faults), [
    "the spool cannot read segments/1.seg (EIO: i/o error, read), and 2 more files; everything else is read",
  ]);
});
