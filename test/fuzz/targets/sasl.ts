import assert from "node:assert/strict";
import fc from "fast-check";
import { beginExchange, continueExchange, type Step } from "../../../services/ingress/session/sasl.ts";
import { mustBeOneLine, splitAtNul, type Target } from "../engine/target.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");

const target: Target = {
  about: "AUTH and the responses of its exchange",
  maxOctets: 12_288,
  check(input) {
    const [first, second] = splitAtNul(input).map((part) => part.toString("utf8")) as [string, string];
    const step = beginExchange(first);
    look(step);
    if (step.kind === "challenge") {
      const next = continueExchange(step.exchange, second);
      look(next);
      if (next.kind === "challenge") look(continueExchange(next.exchange, second));
    }
    look(continueExchange({ mechanism: "PLAIN" }, second));
    look(continueExchange({ mechanism: "PLAIN" }, input.toString("base64")));
  },
  seeds: [
    `PLAIN ${base64("\0ann\0secret")}`,
    `LOGIN\0${base64("ann")}`,
    "PLAIN =",
    "PLAIN\0*",
    `PLAIN ${base64("\0ann\0")}`,
    `plain ${base64("bob\0ann\0x")}`,
  ],
  words: ["PLAIN", "LOGIN", " ", "=", "==", "*", "\0", base64("\0a\0b"), "AAAA"],
  long: [
    ["PLAIN ", "AAAA", "!"],
    ["PLAIN", " ", "x"],
    ["PLAIN\0", "A", ""],
  ],
  properties: {
    "PLAIN gives the name and the password that were sent": fc.property(
      fc.stringMatching(/^[a-z\u{e0}-\u{ff}.@]{1,40}$/u),
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }).filter((text) => !text.includes("\0")),
      (user, password) => {
        const step = beginExchange(`PLAIN ${base64(`\0${user}\0${password}`)}`);
        assert.ok(step.kind === "credentials");
        assert.deepEqual(step.credentials, {
          user: user.normalize("NFC"),
          password: password.normalize("NFC"),
        });
      },
    ),
  },
};
export default target;

function look(step: Step): void {
  if (step.kind === "challenge" || step.kind === "refused") mustBeOneLine(step.reply.wire.slice(0, -2));
  if (step.kind !== "credentials") return;
  const { user, password } = step.credentials;
  mustBeOneLine(user);
  assert.ok(user !== "" && password !== "" && !password.includes("\0"));
  assert.ok(Buffer.byteLength(user) <= 255 && Buffer.byteLength(password) <= 1024);
}
