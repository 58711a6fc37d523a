import assert from "node:assert/strict";
import fc from "fast-check";
import { readMessages } from "../../../shared/mail/import-source.ts";
import type { Target } from "../engine/target.ts";

const target: Target = {
  about: "a file of messages for 'queue import': an mbox, or one message with or without its envelope",
  maxOctets: 1_000_000,
  check(input) {
    const messages = readMessages(input);
    const text = input.toString("latin1");
    assert.ok(messages.length >= (text.startsWith("From ") ? 0 : 1));
    const octets = messages.reduce((sum, message) => sum + message.octets.length, 0);
    assert.ok(octets <= input.length);
    for (const { id = "", from = "", to } of messages)
      for (const value of [id, from, ...to]) assert.doesNotMatch(value, /[\r\n]/);
    // One message is passed on octet for octet.
    if (!text.startsWith("From ") && !text.startsWith("X-Postern-"))
      assert.ok(messages[0]?.octets.equals(input));
  },
  seeds: [
    "From a@example.com Mon Nov 30 12:00:00 2026\nSubject: a\n\n>From here\n\nFrom b@example.com Mon Nov 30 12:00:00 2026\r\nSubject: b\r\n\r\n>>From x\r\n",
    "X-Postern-Id: 1M8PQXWVF29TJ4D16K\r\nX-Postern-From: <a@example.com>\r\nX-Postern-To: <b@example.com>\r\nSubject: x\r\n\r\nFrom x\r\n",
    "Subject: x\n\nbody",
  ],
  words: [
    "From ",
    "\nFrom a@b x\n",
    ">From ",
    ">>",
    "\r\n",
    "\n",
    "\n\n",
    "X-Postern-To: <a@b>\n",
    "X-Postern-Id: ",
    "X-Postern-From: <>\r\n",
  ],
  long: [
    ["", "From a\n", ""],
    ["From a@b x\n", ">", "x"],
    ["From a@b x\n", "\r", "x"],
    ["", "X-Postern-To: a\n", ""],
    ["From a\n", "\n>From ", ""],
    ["From a\n", "\r\nFrom ", ""],
    ["From ", "a@", "b"],
  ],
  properties: {
    "what goes into an mbox comes out of it": fc.property(
      fc.array(
        fc.array(
          fc.constantFrom("From here", ">From there", "Subject: x", "", " From", "a\x80", "X-Other: 1"),
          { minLength: 1 },
        ),
        { minLength: 1, maxLength: 4 },
      ),
      fc.constantFrom("\n", "\r\n"),
      (bodies, end) => {
        const messages = bodies.map((lines) => `Subject: s${end}${end}${lines.join(end)}`);
        const mbox = messages
          .map(
            (message) =>
              `From a@example.com Mon Nov 30${end}${message.replaceAll(/^(>*From )/gm, ">$1")}${end}`,
          )
          .join("");
        const read = readMessages(Buffer.from(mbox, "latin1"));
        // Writers of an mbox differ in how many empty lines they put behind a message.
        const bare = (text: string) => text.replace(/[\r\n]+$/, "");
        assert.deepEqual(
          read.map(({ octets, from }) => [bare(octets.toString("latin1")), from]),
          messages.map((message) => [bare(message), "a@example.com"]),
        );
      },
    ),
  },
};
export default target;
