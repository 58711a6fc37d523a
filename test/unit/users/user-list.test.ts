import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePasswordHash } from "../../../shared/users/password-hash.ts";
import {
  checkNewName,
  normalizeUserName,
  parseUserList,
  withoutUser,
  withUser,
} from "../../../shared/users/user-list.ts";

const hash = `scrypt$1024$1$1$${Buffer.from("saltsalt").toString("base64")}$${Buffer.alloc(16).toString("base64")}`;
const other = hash.replace("scrypt$1024", "scrypt$2048");
const parsedHash = parsePasswordHash(other);
if (typeof parsedHash === "string") throw new Error(parsedHash);

function names(text: string): string[] {
  const parsed = parseUserList(text);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.faults));
  return [...parsed.users.keys()];
}

function faults(text: string): string[] {
  const parsed = parseUserList(text);
  return parsed.kind === "invalid" ? parsed.faults.map(({ line, message }) => `${line}: ${message}`) : [];
}

test("a line is a user; comments, empty lines, a byte order mark and CRLF are none", () => {
  assert.deepEqual(names(`\uFEFF# staff\r\n\r\nalice:${hash}\r\n  # bob:x\r\ncarol@example.com: ${hash}`), [
    "alice",
    "carol@example.com",
  ]);
  assert.deepEqual(names(""), []);
});

test("every fault is named with its line, and no hash and no stray password is quoted", () => {
  const found = faults(`alice:${hash}\nhunter2\nbob:hunter2\nalice:${hash}\n:${hash}\ne\u0001ve:${hash}\n`);
  assert.deepEqual(
    found.map((fault) => fault.slice(0, 24)),
    [
      "2: is not name:scrypt$N$",
      "3: the hash of bob is no",
      "4: alice is in line 1 al",
      "5: is not a user name: 1",
      "6: is not a user name: 1",
    ],
  );
  assert.doesNotMatch(found.join(), /hunter2/);
});

test("one name has one form, however its accents are written; upper and lower case differ", () => {
  assert.equal(normalizeUserName("jose\u0301"), "jos\u00e9");
  assert.deepEqual(names(`jose\u0301:${hash}`), ["jos\u00e9"]);
  assert.match(
    faults(`jose\u0301:${hash}\njos\u00e9:${hash}`)[0] ?? "",
    /^2: jos\u00e9 is in line 1 already/,
  );
  assert.deepEqual(names(`Bob:${hash}\nbob:${hash}`), ["Bob", "bob"]);
});

test("no name is empty, longer than 255 octets, or has control characters", () => {
  assert.equal(normalizeUserName(""), undefined);
  assert.equal(normalizeUserName("a".repeat(255)), "a".repeat(255));
  assert.equal(normalizeUserName("a".repeat(256)), undefined);
  assert.equal(normalizeUserName("\u00e9".repeat(128)), undefined);
  for (const character of ["\0", "\n", "\u0085", "\u2028"])
    assert.equal(normalizeUserName(`a${character}`), undefined);
});

test("a name that a line could not hold is refused before it is written", () => {
  for (const name of ["a:b", "#a", " a", "a ", "a\nb", ""])
    assert.equal(typeof checkNewName(name), "string", name);
  assert.deepEqual(checkNewName("a b@example.com"), { name: "a b@example.com" });
});

test("adding and removing a user leaves comments and the others as they are", () => {
  const text = `# staff\nalice:${hash}\n# guests\nbob:${hash}`;
  assert.equal(
    withUser(text, "carol", parsedHash),
    `# staff\nalice:${hash}\n# guests\nbob:${hash}\ncarol:${other}\n`,
  );
  assert.equal(withUser(text, "alice", parsedHash), `# staff\nalice:${other}\n# guests\nbob:${hash}\n`);
  assert.equal(withoutUser(text, "alice"), `# staff\n# guests\nbob:${hash}\n`);
  assert.equal(withUser("", "alice", parsedHash), `alice:${other}\n`);
});
