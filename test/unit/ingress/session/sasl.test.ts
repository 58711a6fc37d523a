import assert from "node:assert/strict";
import { test } from "node:test";
import { beginExchange, continueExchange, type Step } from "../../../../services/ingress/session/sasl.ts";

const base64 = (text: string | Buffer) => Buffer.from(text).toString("base64");

/** Code and enhanced status of a refusal, the challenge, or the credentials. */
function brief(step: Step): string {
  switch (step.kind) {
    case "challenge":
      return step.reply.wire.trimEnd();
    case "credentials":
      return `${step.mechanism} ${step.credentials.user} ${step.credentials.password}`;
    case "other-identity":
      return `other identity for ${step.user}`;
    case "refused":
      return step.reply.wire.slice(0, 9);
  }
}

/** AUTH and the responses to each challenge. */
function say(argument: string, ...responses: string[]): string[] {
  const steps = [beginExchange(argument)];
  for (const response of responses) {
    const last = steps.at(-1);
    if (last?.kind !== "challenge") throw new Error(`no challenge before ${response}`);
    steps.push(continueExchange(last.exchange, response));
  }
  return steps.map(brief);
}

test("PLAIN takes name and password with the command, or after an empty challenge (RFC 4616, 4954 §4)", () => {
  const response = base64("\0tim\0tanstaaftanstaaf");
  assert.deepEqual(say(`PLAIN ${response}`), ["PLAIN tim tanstaaftanstaaf"]);
  assert.deepEqual(say("plain", response), ["334", "PLAIN tim tanstaaftanstaaf"]);
  const challenge = beginExchange("PLAIN");
  assert.equal(challenge.kind === "challenge" && challenge.reply.wire, "334 \r\n");
});

test("LOGIN asks for the name and for the password; the name may come with the command", () => {
  const [name, password] = [base64("tim"), base64("tanstaaftanstaaf")];
  const asked = ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "LOGIN tim tanstaaftanstaaf"];
  assert.deepEqual(say("LOGIN", name, password), asked);
  assert.deepEqual(say(`LOGIN ${name}`, password), asked.slice(1));
});

test("* cancels an exchange at each of its steps, with 501 5.7.0 (RFC 4954 §4)", () => {
  assert.equal(say("PLAIN", "*").at(-1), "501 5.7.0");
  assert.equal(say("LOGIN", "*").at(-1), "501 5.7.0");
  assert.equal(say("LOGIN", base64("tim"), "*").at(-1), "501 5.7.0");
});

test("what is not base64 of UTF-8 text is 501 5.5.2 (RFC 4954 §4)", () => {
  for (const response of [
    "a",
    "ab",
    "a===",
    "QUJD\u00e9",
    "QU JD",
    "QUJ*",
    "=",
    base64(Buffer.from([0xff])),
  ]) {
    assert.equal(say("PLAIN", response).at(-1), "501 5.5.2", response);
    assert.equal(say("LOGIN", response).at(-1), "501 5.5.2", response);
    assert.equal(say("LOGIN", base64("tim"), response).at(-1), "501 5.5.2", response);
  }
});

test("a response that is no name and password is 501 5.5.2, before anybody looks at it", () => {
  for (const text of ["", "tim", "\0tim", "\0\0secret", "\0tim\0", "\0tim\0a\0b", "\0t\nim\0secret"])
    assert.equal(say(`PLAIN ${text === "" ? "=" : base64(text)}`).at(-1), "501 5.5.2", JSON.stringify(text));
  assert.equal(say("PLAIN", base64(`\0${"a".repeat(256)}\0secret`)).at(-1), "501 5.5.2");
  assert.equal(say("PLAIN", base64(`\0tim\0${"a".repeat(1025)}`)).at(-1), "501 5.5.2");
  assert.equal(say("LOGIN", "").at(-1), "501 5.5.2");
  assert.equal(say("LOGIN", base64("tim"), base64("a\0b")).at(-1), "501 5.5.2");
  assert.equal(say("LOGIN", base64("tim"), "").at(-1), "501 5.5.2");
});

test("names and passwords of 255 octets are taken (RFC 4616 §2)", () => {
  const [name, password] = ["n".repeat(255), "p".repeat(255)];
  assert.deepEqual(say("PLAIN", base64(`\0${name}\0${password}`)).at(-1), `PLAIN ${name} ${password}`);
});

test("nobody acts as somebody else: the authorization identity is empty or the user's own (RFC 4616 §2)", () => {
  assert.deepEqual(say("PLAIN", base64("tim\0tim\0secret")).at(-1), "PLAIN tim secret");
  assert.deepEqual(say("PLAIN", base64("jose\u0301\0jos\u00e9\0secret")).at(-1), "PLAIN jos\u00e9 secret");
  assert.deepEqual(say("PLAIN", base64("root\0tim\0secret")).at(-1), "other identity for tim");
});

test("accents have one form in names and in passwords", () => {
  assert.equal(say("PLAIN", base64("\0jose\u0301\0cafe\u0301")).at(-1), "PLAIN jos\u00e9 caf\u00e9");
});

test("AUTH without a mechanism is 501 5.5.4, with one that is not offered 504 5.5.4", () => {
  assert.deepEqual(say(""), ["501 5.5.4"]);
  assert.deepEqual(say("PLAIN a b"), ["501 5.5.4"]);
  assert.deepEqual(say("CRAM-MD5"), ["504 5.5.4"]);
  assert.deepEqual(say("XOAUTH2 abc"), ["504 5.5.4"]);
});
