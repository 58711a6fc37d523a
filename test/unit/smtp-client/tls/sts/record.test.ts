import assert from "node:assert/strict";
import { test } from "node:test";
import { readStsRecords } from "../../../../../shared/smtp-client/tls/sts/policy.ts";

for (const [what, records, id] of [
  ["as in the RFC", ["v=STSv1; id=20160831085700Z;"], "20160831085700Z"],
  ["without the last semicolon", ["v=STSv1; id=1"], "1"],
  ["without spaces", ["v=STSv1;id=1;"], "1"],
  ["with an extension", ["v=STSv1; id=1; ext=a/b;"], "1"],
  ["beside other TXT records", ["v=spf1 -all", "v=STSv1; id=1;", "google=x"], "1"],
  ["with an id of 32 characters", [`v=STSv1; id=${"a".repeat(32)}`], "a".repeat(32)],
] satisfies [string, string[], string][]) {
  test(`the id of a record ${what} (RFC 8461 §3.1)`, () => {
    assert.deepEqual(readStsRecords(records), { kind: "id", id });
  });
}

for (const [what, records] of [
  ["none at all", []],
  ["another version", ["v=STSv2; id=1;"]],
  ["a version in other case", ["V=STSV1; id=1;"]],
  ["two of them", ["v=STSv1; id=1;", "v=STSv1; id=1;"]],
  ["no id", ["v=STSv1;"]],
  ["an empty id", ["v=STSv1; id=;"]],
  ["an id of 33 characters", [`v=STSv1; id=${"a".repeat(33)};`]],
  ["an id with other characters", ["v=STSv1; id=2016-08-31;"]],
  ["an empty field", ["v=STSv1;; id=1;"]],
  ["the version not first", ["id=1; v=STSv1;"]],
] satisfies [string, string[]][]) {
  test(`no policy is fetched: ${what} (RFC 8461 §3.1)`, () => {
    assert.equal(readStsRecords(records).kind, "none");
  });
}
