import { test } from "node:test";
import { workThroughFaults } from "../../../support/s3-random-faults.ts";
import { makeS3Fixture } from "./s3-fixture.ts";

for (const [seed, conditionalPut] of [
  [1, "honoured"],
  [2, "unsupported"],
] as const) {
  test(`mail is neither lost nor brought back by a store that fails at random (conditional writes ${conditionalPut})`, async (t) => {
    t.diagnostic(await workThroughFaults(await makeS3Fixture(t, { conditionalPut, pageSize: 20 }), seed, 6));
  });
}
