import assert from "node:assert/strict";
import { test } from "node:test";
import { describeFault, faultFields } from "../../../shared/spool/fault.ts";

test("a fault of the spool is logged in words, with its facts as fields", () => {
  const damaged = { kind: "damaged", place: "0abc-1", offset: 40, length: 955 } as const;
  assert.match(describeFault(damaged), /everything else is still read/);
  assert.deepEqual(faultFields(damaged), { event: "spool.trouble", ...damaged });
  const error = new Error("EIO");
  const background = { kind: "background", doing: "asking for free space", error } as const;
  assert.match(describeFault(background), /asking for free space; it will be done again/);
  assert.deepEqual(faultFields(background), {
    event: "spool.trouble",
    kind: "background",
    doing: "asking for free space",
    err: error,
  });
});
