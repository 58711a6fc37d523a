import assert from "node:assert/strict";
import { test } from "node:test";
import { packages, rooms } from "../../../scripts/rooms.ts";
import { findBreaches, readSources, type Walls } from "../../../scripts/walls.ts";

const root = new URL("../../../", import.meta.url).pathname;

/** A small tree without a breach. */
const sources = {
  "shared/smtp/reply.ts": "export const crlf = 2;\n",
  "shared/spool/spool.ts": [
    'import { readFile } from "node:fs/promises";',
    'import {\n  crlf,\n} from "../smtp/reply.ts";',
    "export const spool = [readFile, crlf];\n",
  ].join("\n"),
  "services/bounce/bounce.ts": 'import { spool } from "../../shared/spool/spool.ts";\nexport { spool };\n',
  "services/admin/admin.ts":
    'import { fastify } from "fastify";\nimport { spool } from "../../shared/spool/spool.ts";\n',
};
const walls: Walls = {
  rooms: {
    "shared/smtp": { purpose: "The language.", pure: true, imports: [] },
    "shared/spool": { purpose: "Storage.", imports: ["shared/smtp"] },
    "services/bounce": { purpose: "Notifications.", imports: ["shared/spool"] },
    "services/admin": { purpose: "The admin.", imports: ["shared/spool"] },
  },
  packages: { fastify: ["services/admin"] },
};

function breaches(change: Record<string, string> = {}, table: Walls = walls): string[] {
  return findBreaches(new Map(Object.entries({ ...sources, ...change })), table);
}

function withRoom(name: string, imports: string[]): Walls {
  return { ...walls, rooms: { ...walls.rooms, [name]: { purpose: "Changed.", imports } } };
}

test("no file of the gateway breaks the import walls", () => {
  assert.deepEqual(findBreaches(readSources(root), { rooms, packages }), []);
});

test("source with exactly the imports of the table has no breach", () => {
  assert.deepEqual(breaches(), []);
});

const planted: Record<string, [file: string, text: string, breach: string]> = {
  "a service that imports another": [
    "services/bounce/dsn.ts",
    '\nimport { admin } from "../admin/admin.ts";\n',
    "services/bounce/dsn.ts:2 imports ../admin/admin.ts: services import shared/, never each other; they meet in the queue contract",
  ],
  "shared code that imports a service": [
    "shared/spool/dsn.ts",
    'export * from "../../services/bounce/bounce.ts";\n',
    "shared/spool/dsn.ts:1 imports ../../services/bounce/bounce.ts: shared/ imports no service",
  ],
  "a lower room that imports an upper one, for its types": [
    "shared/smtp/status.ts",
    'import type { spool } from "../spool/spool.ts";\n',
    "shared/smtp/status.ts:1 imports ../spool/spool.ts: shared/smtp may import no other room",
  ],
  "an import when the program runs": [
    "shared/spool/late.ts",
    'export const late = () => import("../../services/bounce/bounce.ts");\n',
    "shared/spool/late.ts:1 imports ../../services/bounce/bounce.ts: shared/ imports no service",
  ],
  "source that imports a test or a script": [
    "shared/spool/fixture.ts",
    'import { peer } from "../../test/support/smtp-peer.ts";\n',
    "shared/spool/fixture.ts:1 imports ../../test/support/smtp-peer.ts: source imports nothing but shared/ and services/",
  ],
  "a pure file that reads files": [
    "shared/smtp/status.ts",
    '/** Codes. */\nimport { readFileSync } from "node:fs";\n',
    "shared/smtp/status.ts:2 imports node:fs: shared/smtp is pure",
  ],
  "a pure file that reads the clock": [
    "shared/smtp/status.ts",
    "export const now = () => Date.now();\n",
    "shared/smtp/status.ts:1 uses Date.now: shared/smtp is pure",
  ],
  "a package outside its place": [
    "services/bounce/server.ts",
    'import {\n  fastify,\n} from "fastify";\n',
    "services/bounce/server.ts:1 imports fastify: fastify is imported in services/admin only",
  ],
  "a package that the table does not have": [
    "services/admin/pages.ts",
    'import "express/lib/router";\n',
    "services/admin/pages.ts:1 imports express/lib/router: the table of packages does not have it",
  ],
  "a room without a row": [
    "shared/dns/resolver.ts",
    "export const servers = [];\n",
    "scripts/rooms.ts: shared/dns is not in the table: give it a row, with a sentence of purpose",
  ],
};
for (const [title, [file, text, breach]] of Object.entries(planted)) {
  test(`the walls find ${title}`, () => {
    assert.deepEqual(breaches({ [file]: text }), [breach]);
  });
}

test("the walls find a pure file that reaches an impure module by its imports, but not by types alone", () => {
  const table = {
    ...walls,
    rooms: {
      ...walls.rooms,
      "shared/mail": { purpose: "Mail.", pure: true as const, imports: ["shared/spool"] },
    },
  };
  assert.deepEqual(
    breaches({ "shared/mail/size.ts": 'import { spool } from "../spool/spool.ts";\n' }, table),
    [
      "shared/mail/size.ts:1 imports shared/spool/spool.ts, which imports node:fs/promises: shared/mail is pure",
    ],
  );
  const onlyTypes = 'import { type spool } from "../spool/spool.ts";\n';
  assert.deepEqual(breaches({ "shared/mail/size.ts": onlyTypes }, table), []);
});

test("the walls find two rooms that import each other, though the table allows both", () => {
  const table = withRoom("shared/smtp", ["shared/spool"]);
  assert.deepEqual(
    breaches({ "shared/smtp/status.ts": 'import type { spool } from "../spool/spool.ts";\n' }, table),
    ["scripts/rooms.ts: rooms import each other: shared/smtp → shared/spool → shared/smtp"],
  );
});

test("the walls find allowed imports that are not used, and rows without files", () => {
  assert.deepEqual(breaches({}, withRoom("services/bounce", ["shared/smtp", "shared/spool"])), [
    "scripts/rooms.ts: services/bounce does not import shared/smtp any more: take it out of the row",
  ]);
  assert.deepEqual(breaches({}, { ...walls, packages: { ...walls.packages, bullmq: ["shared/queue"] } }), [
    "scripts/rooms.ts: shared/queue does not import bullmq any more: take it out of the row",
  ]);
  assert.deepEqual(breaches({}, withRoom("shared/queue", [])), [
    "scripts/rooms.ts: shared/queue has a row, but no file",
  ]);
});
