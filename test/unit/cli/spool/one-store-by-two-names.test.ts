import assert from "node:assert/strict";
import { test } from "node:test";
import { isSameStore } from "../../../../services/cli/spool/ends.ts";

test("two configurations that name one place of a store are recognised", () => {
  const at = (endpoint?: string, bucket = "mail", prefix = "gw/") => ({
    bucket,
    prefix,
    ...(endpoint !== undefined && { endpoint }),
  });
  const table: [ReturnType<typeof at>, ReturnType<typeof at>, boolean][] = [
    [at("https://s3.example.net"), at("https://s3.example.net"), true],
    [at("https://s3.example.net"), at("https://S3.example.net:443/"), true],
    [at("https://s3.example.net/store"), at("https://s3.example.net/store//"), true],
    [at("https://s3.example.net/store"), at("https://s3.example.net/other"), false],
    [at("https://s3.example.net"), at("http://s3.example.net"), false],
    [at("http://192.0.2.1:9000"), at("http://192.0.2.1:9001"), false],
    [at(), at(), true],
    [at(), at("https://s3.amazonaws.com"), true],
    [at(), at("https://s3.eu-central-1.amazonaws.com/"), true],
    [at("https://s3-fips.us-east-1.amazonaws.com"), at("https://s3.dualstack.us-east-1.amazonaws.com"), true],
    [at(), at("https://s3.amazonaws.com.example.net"), false],
    [at(), at("https://s3.example.net"), false],
    [at(undefined, "mail"), at(undefined, "other"), false],
    [at(undefined, "mail", "gw/"), at(undefined, "mail", "gw"), false],
  ];
  for (const [one, other, isSame] of table) {
    assert.equal(isSameStore(one, other), isSame, `${JSON.stringify(one)} ${JSON.stringify(other)}`);
    assert.equal(isSameStore(other, one), isSame);
  }
});
