import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decoyHash,
  formatPasswordHash,
  hashPassword,
  matchesPassword,
  type PasswordHash,
  parsePasswordHash,
} from "../../../shared/users/password-hash.ts";

const salt = Buffer.from("saltsalt").toString("base64");
const key = Buffer.alloc(32).toString("base64");

function parsed(text: string): PasswordHash {
  const hash = parsePasswordHash(text);
  if (typeof hash === "string") throw new Error(hash);
  return hash;
}

test("a password matches its own hash, read back from its text, and no other password does", async () => {
  const text = formatPasswordHash(await hashPassword("open sesame"));
  assert.match(text, /^scrypt\$32768\$8\$1\$[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=$/);
  assert.equal(await matchesPassword("open sesame", parsed(text)), true);
  assert.equal(await matchesPassword("open sesam", parsed(text)), false);
  assert.equal(await matchesPassword("", parsed(text)), false);
});

test("two users with one password have different hashes", async () => {
  const [a, b] = await Promise.all([hashPassword("same"), hashPassword("same")]);
  assert.notEqual(formatPasswordHash(a), formatPasswordHash(b));
});

test("RFC 7914's test vector is what comes out", async () => {
  // RFC 7914 §12: "pleaseletmein", "SodiumChloride", N=16384, r=8, p=1, 64 octets.
  const expected =
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887";
  const fields = [
    Buffer.from("SodiumChloride").toString("base64"),
    Buffer.from(expected, "hex").toString("base64"),
  ];
  assert.equal(await matchesPassword("pleaseletmein", parsed(`scrypt$16384$8$1$${fields.join("$")}`)), true);
});

test("parameters stand in the text, and those that would take the gateway's memory or time are refused", () => {
  assert.equal(parsed(`scrypt$1024$1$1$${salt}$${key}`).cost, 1024);
  for (const [text, why] of [
    [`scrypt$1000$8$1$${salt}$${key}`, /power of two/],
    [`scrypt$512$8$1$${salt}$${key}`, /power of two from 1024/],
    [`scrypt$16777216$8$1$${salt}$${key}`, /64 MB/],
    [`scrypt$32768$32$1$${salt}$${key}`, /64 MB/],
    [`scrypt$32768$8$32$${salt}$${key}`, /16 times the usual work/],
    [`scrypt$1024$0$1$${salt}$${key}`, /1 or more/],
    [`scrypt$1024$1$0$${salt}$${key}`, /1 or more/],
    [`scrypt$1024$8$1$YQ==$${key}`, /salt of 8/],
    [`scrypt$1024$8$1$${salt}$YQ==`, /key of 16/],
    ["$2y$05$bcrypt", /is not scrypt/],
    ["", /is not scrypt/],
  ] as const) {
    const hash = parsePasswordHash(text);
    assert.equal(typeof hash, "string", text);
    assert.match(String(hash), why);
  }
});

test("a user who does not exist costs the same work, and no password fits", async () => {
  const like = parsed(`scrypt$2048$4$2$${salt}$${Buffer.alloc(20).toString("base64")}`);
  const { cost, blockSize, parallelization, key: decoyKey } = decoyHash(like);
  assert.deepEqual([cost, blockSize, parallelization, decoyKey.length], [2048, 4, 2, 20]);
  assert.equal(await matchesPassword("anything", decoyHash(like)), false);
  assert.equal(decoyHash(undefined).cost, 32_768);
});
