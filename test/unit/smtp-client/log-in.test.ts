import assert from "node:assert/strict";
import { test } from "node:test";
import { refusesCredentials } from "../../../shared/smtp-client/log-in.ts";

test("a server refuses the password when it refuses AUTH for good, and speaks of nothing else", () => {
  for (const code of [535, 550, 554, 525, 501])
    assert.ok(refusesCredentials({ command: "AUTH", code }), `${code}`);
  for (const code of [421, 432, 451, 454, 500, 502, 503, 504, 530, 534, 538])
    assert.ok(!refusesCredentials({ command: "AUTH", code }), `${code}`);
  assert.ok(!refusesCredentials({ command: "CONNECT", code: 554 }));
  assert.ok(!refusesCredentials({ command: "EHLO", code: 550 }));
});
