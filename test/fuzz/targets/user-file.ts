import assert from "node:assert/strict";
import fc from "fast-check";
import { formatPasswordHash, parsePasswordHash } from "../../../shared/users/password-hash.ts";
import { checkNewName, parseUserList, withoutUser, withUser } from "../../../shared/users/user-list.ts";
import { mustBeOneLine, type Target } from "../engine/target.ts";

const text = "scrypt$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA==$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=";
const hash = parsePasswordHash(text);
assert.ok(typeof hash !== "string");

const target: Target = {
  about: "the user file",
  maxOctets: 65_536,
  check(input) {
    const file = input.toString("utf8");
    const parsed = parseUserList(file);
    if (parsed.kind === "invalid") {
      const isNamed = file.split("\n").some((line) => {
        const at = line.indexOf("scrypt");
        return at >= 0 && line.includes(":", at);
      });
      for (const { line, message } of parsed.faults) {
        assert.ok(line >= 1);
        // No hash gets into a log.
        if (!isNamed) assert.ok(!message.includes("scrypt$32768"), message);
      }
    } else {
      for (const [name, each] of parsed.users) {
        mustBeOneLine(name);
        assert.deepEqual(parsePasswordHash(formatPasswordHash(each)), each);
        assert.ok(128 * each.cost * each.blockSize <= 64 * 2 ** 20);
      }
      const added = parseUserList(withUser(file, "new", hash));
      assert.ok(added.kind === "users" && added.users.has("new"));
      const removed = parseUserList(withoutUser(withUser(file, "new", hash), "new"));
      assert.ok(removed.kind === "users" && !removed.users.has("new"));
      for (const name of parsed.users.keys()) if (name !== "new") assert.ok(removed.users.has(name));
    }
  },
  seeds: [
    `ann:${text}\n# x\n\nbob : ${text}\r\n`,
    `\u{feff}j\u{f6}rg:${text}`,
    `ann:scrypt$1024$1$1$AAAAAAAAAAA=$AAAAAAAAAAAAAAAAAAAAAA==\n`,
    "ann\n:x",
    `ann:scrypt$4194304$8$1$AAAAAAAAAAA=$AAAAAAAAAAAAAAAAAAAAAA==\n`,
  ].map((each) => Buffer.from(each)),
  words: ["ann:", "#", ":", text, "scrypt$", "$1024$8$1$", "\n", "\r\n", "\u{301}", "=", "99999999"],
  long: [
    ["", " ", "x"],
    ["ann:scrypt$1024$1$1$", "A", "$"],
    ["", "ann:x\n", ""],
    ["ann:", " ", "x"],
  ],
  properties: {
    "a user that is added is there, under its name in one form": fc.property(
      fc.string({ unit: "grapheme" }),
      (given) => {
        const checked = checkNewName(given);
        if (typeof checked === "string") return;
        const parsed = parseUserList(withUser("", checked.name, hash));
        assert.ok(parsed.kind === "users" && parsed.users.has(checked.name), JSON.stringify(parsed));
      },
    ),
  },
};
export default target;
