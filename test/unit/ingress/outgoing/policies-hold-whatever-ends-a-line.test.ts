import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProxyRules } from "../../../../services/ingress/outgoing/rules.ts";
import { Wire } from "./wire.ts";

const ehlo = "250-far.test\n250-STARTTLS\n250-CHUNKING\n250 AUTH PLAIN GSSAPI";

/** Each policy alone. */
const policies: readonly Partial<ProxyRules>[] = [
  { requireAuth: true },
  { starttls: "strip" },
  { xclient: "refuse" },
  { limitsMail: true },
];

function opened(rules: Partial<ProxyRules>, reply = ehlo): Wire {
  const wire = new Wire(rules).server("220 far.test").client("EHLO a").server(reply);
  if (rules.requireAuth === true) wire.client("AUTH PLAIN x").server("235 yes");
  wire.atServer();
  wire.atClient();
  return wire;
}

/** With each policy alone, behind EHLO and, where that is required, AUTH. */
function withEachPolicy(check: (wire: Wire, what: string) => void, reply?: string): void {
  for (const rules of policies) check(opened(rules, reply), JSON.stringify(rules));
}

function inMessage(rules: Partial<ProxyRules> = { limitsMail: true }): Wire {
  const wire = opened(rules).client("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA").server("250 a\n250 b\n354 c");
  wire.atServer();
  wire.atClient();
  return wire;
}

test("a line longer than any command is swallowed and answered 500, wherever it is cut: Exim obeys what stands behind octet 16,385", () => {
  withEachPolicy((wire, what) => {
    const line = `NOOP ${"x".repeat(16_379)}MAIL FROM:<a@b>\r\n`;
    for (const size of [1000, 4096, line.length]) {
      for (let at = 0; at < line.length; at += size) wire.client(Buffer.from(line.slice(at, at + size)));
      assert.equal(wire.atServer(), "", what);
      assert.match(wire.atClient(), /^500 5\.5\.2 [^\n]*$/, what);
    }
    assert.equal(wire.client("NOOP").atServer(), "NOOP", what);
  });
});

test("an AUTH command has 12,288 octets, another command 2,048 (RFC 4954 §4)", () => {
  const long = (beginning: string, octets: number) => beginning + "A".repeat(octets - beginning.length - 2);
  const wire = opened({ limitsMail: true });
  assert.match(wire.client(long("VRFY ", 2049)).atClient(), /^500 /);
  assert.match(wire.client(long("AUTH PLAIN ", 12_289)).atClient(), /^500 /);
  assert.equal(wire.atServer(), "");
  assert.equal(wire.client(long("VRFY ", 2048)).atServer().length, 2046);
  assert.equal(wire.client(long("AUTH PLAIN ", 12_288)).atServer().length, 12_286);
});

test("an AUTH response that is too long, or no base64, cancels the exchange, and the client hears why", () => {
  for (const [response, reply] of [
    ["A".repeat(12_288), /^500 5\.5\.2 /],
    [`${"A".repeat(16_384)}MAIL FROM:<a@b>`, /^500 5\.5\.2 /],
    ["AAAA\rMAIL FROM:<a@b>", /^501 5\.5\.2 /],
    ["AAAA\0", /^501 5\.5\.2 /],
    ["MAIL FROM:<a@b>", /^501 5\.5\.2 /],
  ] as const) {
    for (const size of [1, 100_000]) {
      const wire = opened({ starttls: "strip" }).client("AUTH LOGIN").server("334 VXNlcm5hbWU6");
      wire.atServer();
      wire.atClient();
      const octets = Buffer.from(`${response}\r\nNOOP\r\n`);
      for (let at = 0; at < octets.length; at += size) wire.client(octets.subarray(at, at + size));
      assert.equal(wire.atServer(), "*", response.slice(0, 20));
      assert.match(wire.server("501 cancelled").atClient(), reply);
      assert.equal(wire.atServer(), "NOOP");
    }
  }
});

test("the reply to a cancelled AUTH may come while the rest of a long response is swallowed", () => {
  const wire = opened({ starttls: "strip" }).client("AUTH LOGIN").server("334 x");
  wire.atServer();
  wire.client(Buffer.alloc(13_000, "A")).server("501 cancelled").client("AAAA");
  assert.equal(wire.client("NOOP").atServer(), "*\nNOOP");
});

test("a server that accepts the cancellation of AUTH as credentials ends the session", () => {
  const wire = opened({ starttls: "strip" }).client("AUTH LOGIN").server("334 x").client("no base64");
  assert.equal(wire.server("235 welcome").ended, "misplaced-reply");
});

test("a bare CR, NUL or other control character in a command is refused by every policy", () => {
  for (const line of [
    "NOOP\rMAIL FROM:<a@b>",
    "NOOP\0",
    "NOOP \x0b",
    "NOOP\r",
    "VRFY \x7f",
    "AUTH PLAIN x\rMAIL",
  ]) {
    withEachPolicy((wire, what) => {
      assert.match(wire.client(line).atClient(), /^500 5\.5\.2 /, `${what} ${JSON.stringify(line)}`);
      assert.equal(wire.atServer(), "");
    });
  }
});

test("white space before a verb is refused: Postfix skips it, and Exim reads the chunk of such a BDAT as commands", () => {
  withEachPolicy((wire, what) => {
    assert.match(wire.client(Buffer.from(" BDAT 10\r\nSTARTTLS\r\n")).atClient(), /^500 5\.5\.2 /, what);
    assert.equal(wire.atServer(), "");
  });
});

test("a command that ends in LF alone reaches the server with CRLF, wherever it is cut", () => {
  const octets = Buffer.from("NOOP\nVRFY x\nNOOP\r\n");
  for (let i = 0; i <= octets.length; i++) {
    const sent: Buffer[] = [];
    const wire = opened({ limitsMail: true });
    wire.toServer = (piece) => sent.push(piece);
    wire.client(octets.subarray(0, i)).client(octets.subarray(i));
    assert.equal(Buffer.concat(sent).toString(), "NOOP\r\nVRFY x\r\nNOOP\r\n", `cut at ${i}`);
  }
});

test("commands that are not known are refused by every policy: the server might know them, or know their beginning", () => {
  withEachPolicy((wire, what) => {
    for (const line of ["XEXCH50 8 2", "STARTTLSX", "X-ANONYMOUSTLS", "MAILX FROM:<a@b>", ""])
      assert.match(wire.client(line).atClient(), /^500 5\.5\.2 /, `${what} ${line}`);
    for (const line of ["TURN", "ATRN a.test", "LHLO a"])
      assert.match(wire.client(line).atClient(), /^502 5\.5\.1 /, `${what} ${line}`);
    assert.equal(wire.atServer(), "");
  });
});

test("a BDAT whose size some servers read otherwise never reaches one: Exim counts modulo 2^32", () => {
  withEachPolicy((wire, what) => {
    for (const line of [
      "BDAT 2147483648",
      "BDAT 4294967306 LAST",
      "BDAT 010",
      "BDAT  10",
      "BDAT\t10",
      "BDAT 10 ",
      "BDAT 10  LAST",
      "BDAT 99999999999999999999",
      "BDAT 10 x",
      "BDAT",
    ]) {
      const fresh = opened(JSON.parse(what));
      assert.match(fresh.client(line).atClient(), /^501 5\.5\.4 /, `${what} ${line}`);
      assert.equal(fresh.atServer(), "");
    }
    assert.equal(wire.client("BDAT 2147483647").atServer(), "BDAT 2147483647", what);
  });
});

test("a BDAT for a server that has not offered CHUNKING to this EHLO never reaches it, under any policy", () => {
  withEachPolicy((wire, what) => {
    assert.match(wire.client(Buffer.from("BDAT 4\r\nQUIT")).atClient(), /^503 5\.5\.1 /, what);
    assert.equal(wire.atServer(), "");
  }, "250 far.test");
  withEachPolicy((wire, what) => {
    wire.client("HELO a\nBDAT 10\nSTARTTLS");
    assert.equal(wire.atServer(), "HELO a", what);
    wire.server("250 far.test");
    assert.match(wire.client("BDAT 0").atClient(), /503 [^\n]*$/, what);
  });
  for (const second of ["HELO a", "XCLIENT ADDR=192.0.2.1"]) {
    const wire = new Wire({ limitsMail: true }).server("220 a").client(`EHLO a\n${second}`).server(ehlo);
    wire.atClient();
    wire.client("BDAT 0").server("220 far.test");
    assert.ok(!wire.atServer().includes("BDAT"), second);
  }
});

test("a STARTTLS that the server has not offered is refused: its 220 might be another's", () => {
  for (const rules of [{ requireAuth: true }, { limitsMail: true }]) {
    const wire = opened(rules, "250 far.test");
    assert.match(wire.client("STARTTLS").atClient(), /^503 5\.5\.1 /);
    assert.equal(wire.atServer(), "");
    assert.equal(opened(rules).client("STARTTLS").atServer(), "STARTTLS");
  }
});

test("a MAIL pipelined behind XCLIENT is refused: the session begins again, and AUTH with it", () => {
  const wire = opened({ requireAuth: true }).client("XCLIENT ADDR=192.0.2.1\nMAIL FROM:<a@b>\nBDAT 0");
  assert.equal(wire.atServer(), "XCLIENT ADDR=192.0.2.1");
  assert.match(wire.server("220 far.test").atClient(), /^220 far\.test\n530 .*\n530 /);
});

test("a NUL behind 235 is no security layer of PLAIN, and one of GSSAPI ends a session that has a policy", () => {
  const plain = opened({ starttls: "strip" }).client("AUTH PLAIN x").server("235 yes");
  plain.atServer();
  plain.atClient();
  assert.match(plain.client(Buffer.from("\0NOOP\r\n")).atClient(), /^500 /);
  assert.equal(plain.atServer(), "");
  const layer = opened({ starttls: "strip" }).client("AUTH GSSAPI x").server("235 yes");
  layer.atServer();
  assert.equal(layer.client(Buffer.from([0, 0, 0, 1, 65])).ended, "sasl-layer");
  assert.deepEqual([layer.atServer(), layer.opaque], ["", undefined]);
  const free = new Wire().server("220 a").client("AUTH PLAIN x").server("235 yes");
  assert.equal(free.client(Buffer.from("\0NOOP\r\n")).opaque, undefined);
});

test("a line of one dot that some servers take for the end of the message ends the session, wherever it is cut", () => {
  for (const end of [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\r.",
    "\r\n.\r\r\n",
    "\r\n\0.\r\n",
    "\r\0\n.\r\n",
    "\r\n.\0\r\n",
    "\n\r.\r\n",
  ]) {
    const octets = Buffer.from(`Subject: x${end}MAIL FROM:<smuggled@x>\r\n`, "latin1");
    for (let i = 0; i <= octets.length; i++) {
      const wire = inMessage().client(octets.subarray(0, i)).client(octets.subarray(i));
      const what = `${JSON.stringify(end)} cut at ${i}`;
      assert.equal(wire.ended, "unclear-end-of-data", what);
      assert.match(wire.lastReply ?? "", /^550 5\.5\.2 /, what);
      assert.ok(!wire.atServer().includes("MAIL"), what);
      assert.equal(wire.transactions[0]?.result, "refused", what);
    }
  }
});

test("such a line at the beginning of the message ends the session too", () => {
  assert.equal(inMessage().client(Buffer.from(".\nMAIL")).ended, "unclear-end-of-data");
});

test("other bare CR, bare LF, NUL and dots pass in a message as they came, and its end is its end, wherever it is cut", () => {
  const message = Buffer.from("a\nb\rc\0\r\n..\r\n.x\r\n\n..\n\r..\r\n.\r.\r\nx.\r\n.\r\n", "latin1");
  const harmless = Buffer.from(message.toString("latin1").replace("\r\n.\r.", ""), "latin1");
  for (let i = 0; i <= harmless.length; i++) {
    const sent: Buffer[] = [];
    const wire = inMessage();
    wire.toServer = (piece) => sent.push(piece);
    wire.client(harmless.subarray(0, i)).client(harmless.subarray(i)).client("NOOP");
    assert.equal(wire.ended, undefined, `cut at ${i}`);
    assert.equal(Buffer.concat(sent).toString("latin1"), `${harmless.toString("latin1")}NOOP\r\n`);
  }
});

test("a reply to a message or chunk before its end ends the session, and the server's refusal passes", () => {
  const refused = inMessage().client("one").server("552 5.3.4 too large");
  assert.deepEqual([refused.ended, refused.lastReply], ["early-reply", "552 5.3.4 too large"]);
  assert.equal(refused.client("two").atServer(), "one");
  assert.equal(refused.transactions[0]?.reply, "552 5.3.4 too large");
  const accepted = inMessage().client("one").server("250 enough");
  assert.equal(accepted.ended, "early-reply");
  assert.match(accepted.lastReply ?? "", /^421 4\.7\.0 /);
  assert.equal(accepted.atClient(), "", "the client's message was not accepted");
  const chunk = opened({ xclient: "refuse" }).client(Buffer.from("BDAT 2\r\nxxBDAT 9\r\n1"));
  assert.equal(chunk.server("250 first").ended, undefined);
  assert.equal(chunk.server("250 second").ended, "early-reply");
});

test("without a policy a message that the server accepts before its end leaves nothing to read, and that is counted", () => {
  const wire = new Wire().server("220 a").client("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA");
  wire.server("250 a\n250 b\n354 c").client(Buffer.from("x\n.\nNOOP\r\n")).server("250 accepted");
  assert.equal(wire.opaque, "early-reply");
  assert.equal(wire.client("RSET").atServer().split("\n").at(-1), "RSET");
});

test("a reply that answers nothing, or not this command, ends a session that has a policy", () => {
  withEachPolicy((wire, what) => assert.equal(wire.server("250 surplus").ended, "unexpected-reply", what));
  const after = (line: string, reply: string) =>
    opened({ limitsMail: true }).client(line).server(reply).ended;
  assert.equal(after("NOOP", "354 go on"), "misplaced-reply");
  assert.equal(after("NOOP", "235 yes"), "misplaced-reply");
  assert.equal(after("AUTH PLAIN x", "354 go on"), "misplaced-reply");
  assert.equal(after("DATA", "334 go on"), "misplaced-reply");
  assert.equal(after("DATA", "250 ok"), "misplaced-reply");
  assert.equal(after("NOOP", "what"), "malformed-reply");
  assert.equal(after("NOOP", "250-a\n251 b"), "malformed-reply");
  assert.equal(after("NOOP", "250-a\nb\n250 c"), "malformed-reply");
  assert.equal(after("NOOP", "221 2.7.0 go away"), undefined);
  const unasked = opened({ limitsMail: true }).server("421 4.4.2 too slow");
  assert.deepEqual([unasked.ended, unasked.atClient()], [undefined, "421 4.4.2 too slow"]);
});

test("a greeting of two replies ends the session at EHLO: every reply would be taken for the one before it", () => {
  const wire = new Wire({ requireAuth: true }).server("220 a\n220 b");
  assert.equal(wire.ended, "unexpected-reply");
  const late = new Wire({ requireAuth: true }).server("220 a").client("EHLO a").server("220 b");
  assert.equal(late.ended, "misplaced-reply");
});

test("when a part of the surplus reply has reached the client, nothing of ours is put behind it", () => {
  const wire = opened({ limitsMail: true }).server(Buffer.from("250-surpl"));
  assert.equal(wire.atClient(), "250-surpl");
  wire.server(Buffer.from("us\r\n250 x\r\n"));
  assert.deepEqual([wire.ended, wire.lastReply], ["unexpected-reply", undefined]);
});

test("TLS from the first octet and a PROXY header of the client's own pass without a policy, and end a session that has one", () => {
  const v2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
  for (const octets of [
    "\x16\x03\x01\x02",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\nEHLO a\r\n",
    v2,
    "GET / HTTP/1.1\r\n\r\n",
  ]) {
    for (const size of [1, 100]) {
      const feed = (wire: Wire) => {
        for (let at = 0; at < octets.length; at += size)
          wire.client(Buffer.from(octets.slice(at, at + size), "latin1"));
        return wire;
      };
      const free = new Wire();
      const sent: Buffer[] = [];
      free.toServer = (piece) => sent.push(piece);
      assert.equal(feed(free).opaque, "not-smtp");
      assert.equal(Buffer.concat(sent).toString("latin1"), octets);
      assert.equal(free.dialogue.isHolding, false);
      for (const rules of policies) {
        const held = feed(new Wire(rules));
        assert.equal(held.ended, "not-smtp", JSON.stringify(octets));
        assert.equal(held.atServer(), "");
      }
    }
  }
});

test("without a policy the beginning of a line passes as it comes", () => {
  const wire = new Wire().server("220 a").client(Buffer.from("EH"));
  assert.equal(wire.atServer(), "EH");
  wire.client(Buffer.from("LO a\r\nNO")).client(Buffer.from("OP\r\n"));
  assert.equal(wire.atServer(), "LO a\nNOOP");
  wire.server("250 a\n250 b");
  assert.ok(wire.dialogue.isIdle);
});
