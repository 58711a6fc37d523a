import assert from "node:assert/strict";
import fc from "fast-check";
import { listsHost, parseStsPolicy, readStsRecords } from "../../../shared/smtp-client/tls/sts/policy.ts";
import { mustBeOneLine, type Target } from "../engine/target.ts";

const host = fc.stringMatching(/^[a-z0-9]{1,10}(?:\.[a-z0-9]{1,10}){1,3}$/);

const target: Target = {
  about: "an MTA-STS policy and its TXT records, of whoever owns the domain",
  maxOctets: 65_536,
  check(input) {
    const text = input.toString("utf8");
    const parsed = parseStsPolicy(text);
    if (parsed.kind === "invalid") mustBeOneLine(parsed.reason);
    else {
      const { mode, mx, maxAgeSeconds } = parsed.policy;
      assert.ok(mode === "none" || mx.length > 0);
      assert.ok(mx.length <= 500 && maxAgeSeconds >= 0 && maxAgeSeconds <= 31_557_600);
      for (const pattern of mx) {
        assert.match(pattern, /^(?:\*\.)?[a-z0-9_.-]+$/);
        assert.ok(listsHost(parsed.policy, pattern.replace("*", "a")));
      }
    }
    const record = readStsRecords(text.split("\n"));
    if (record.kind === "id") assert.match(record.id, /^[A-Za-z0-9]{1,32}$/);
  },
  seeds: [
    "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n",
    "version: STSv1\nmode: none\nmax_age: 0\n\next: a b \n",
    "v=STSv1; id=20160831085700Z; ext=x;",
    "v=STSv1;id=1\nv=STSv1;id=2",
    "version: STSv1\nmode: none\nmax_age: 9999999999\n",
  ],
  words: [
    "version: STSv1\n",
    "mode: enforce\n",
    "mode: testing\n",
    "mx: ",
    "*.",
    "max_age: ",
    "v=STSv1;",
    "id=",
    ";",
    " ",
    "\t",
    "\r\n",
    "\xc3\xa9",
  ],
  long: [
    ["mx: a", " ", "b\n"],
    ["x:", " ", "\0\n"],
    ["v=STSv1; id=1;", " ", "x"],
    ["v=STSv1", " ", "x"],
    ["mx: ", "a.", "\n"],
    ["mx: ", "a", "!\n"],
    ["", "mx: a.b\n", ""],
    ["v=STSv1;", "a=b;", ""],
  ],
  properties: {
    "a policy is read as it was written, whatever ends its lines": fc.property(
      fc.constantFrom("enforce", "testing", "none"),
      fc.uniqueArray(host, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 31_557_600 }),
      fc.constantFrom("\n", "\r\n"),
      fc.stringMatching(/^[ \t]{0,3}$/),
      (mode, mx, maxAgeSeconds, end, space) => {
        const lines = [
          "version: STSv1",
          `mode:${space}${mode}`,
          ...mx.map((name) => `mx: ${name}${space}`),
          `max_age: ${maxAgeSeconds}`,
        ];
        assert.deepEqual(parseStsPolicy(lines.join(end)), {
          kind: "policy",
          policy: { mode, mx, maxAgeSeconds },
        });
      },
    ),
  },
};
export default target;
