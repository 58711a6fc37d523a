import assert from "node:assert/strict";
import type { z } from "zod";
import { eventsQuery, streamQuery, traceQuery } from "../../../services/admin/routes/event-schemas.ts";
import { defineRoute, type Route, registerRoutes } from "../../../services/admin/routes/route.ts";
import {
  holdBody,
  listQuery,
  newHold,
  removeBody,
  selectionBody,
} from "../../../services/admin/routes/schemas.ts";
import { createServer } from "../../../services/admin/server.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { splitAtNul, type Target } from "../engine/target.ts";

const logged: string[] = [];
const log = createLogger("admin", { write: (line) => void logged.push(line) });
const route = (path: string, part: "body" | "query", schema: z.ZodType) =>
  defineRoute<undefined, unknown, unknown>({
    method: part === "body" ? "POST" : "GET",
    path,
    operationId: path,
    summary: path,
    access: "write",
    [part]: schema,
    responses: { 200: { description: "ok" } },
    handle: async ({ body, query }) => ({ parsed: body ?? query }),
  });
const bodies = { "/retry": selectionBody, "/hold": holdBody, "/remove": removeBody, "/holds": newHold };
const queries = {
  "/messages": listQuery,
  "/trace": traceQuery,
  "/events": eventsQuery,
  "/stream": streamQuery,
};
const routes: Route[] = [
  ...Object.entries(bodies).map(([path, schema]) => route(path, "body", schema)),
  ...Object.entries(queries).map(([path, schema]) => route(path, "query", schema)),
];
const token = "s3cret";
const policy = {
  tokens: [{ name: "a", token, scopes: ["read", "content", "write"] as const }],
  hostNames: ["gw.example.net"],
};
const app = createServer(routes, policy as unknown as Parameters<typeof createServer>[1], log);
registerRoutes(app, routes);
await app.ready();

/** A query string, a NUL, and a body. */
const target: Target = {
  about: "requests to the admin: JSON bodies, query strings and tokens",
  cost: 8,
  maxOctets: 600_000,
  async check(input) {
    logged.length = 0;
    const [first, payload] = splitAtNul(input);
    const headers = { authorization: `Bearer ${token}` };
    for (const url of Object.keys(bodies)) {
      const answer = await app.inject({
        method: "POST",
        url,
        payload,
        headers: { ...headers, "content-type": "application/json" },
      });
      mustBeAnswered(answer);
    }
    const query = [...first]
      .map((octet) =>
        octet > 32 && octet < 127 && octet !== 35
          ? String.fromCharCode(octet)
          : `%${octet.toString(16).padStart(2, "0")}`,
      )
      .join("");
    for (const url of Object.keys(queries))
      mustBeAnswered(await app.inject({ method: "GET", url: `${url}?${query}`, headers }));
    mustBeAnswered(await app.inject({ method: "GET", url: `/${query}`, headers }));
    // Nothing but the token opens it.
    const other = first.toString("latin1").replaceAll(/[^\x20-\x7e]/g, "");
    const answer = await app.inject({
      method: "POST",
      url: "/retry",
      payload: "{}",
      headers: { authorization: other },
    });
    if (!other.includes(token) && !other.includes(Buffer.from(`:${token}`).toString("base64").slice(2, 9)))
      assert.ok([401, 403].includes(answer.statusCode), other);
    mustBeAnswered(answer);
  },
  seeds: [
    'to=*@example.com&limit=10&sort=age\0{"ids":["1M8PQXWVF29TJ4D16K-0"],"reason":"x"}',
    'q=<a@b>&limit=1\0{"filter":{"to":"*@example.com","older":"2h"},"dryRun":true}',
    'since=1-1&within=1h&event=delivery\0{"all":true,"until":"2099-01-01T00:00:00Z"}',
    'before=9-9&search=x\0{"kind":"destination","value":"example.com","reason":"y"}',
    "%E0%A4%A\0[1,2,{}]",
    "Bearer x\0null",
  ],
  words: [
    "&to=",
    "&limit=",
    "&cursor=",
    "&status=held",
    "%00",
    "%ff",
    "../",
    "[]=",
    '"ids":',
    '"filter":',
    '"all":true',
    '"reason":',
    "null",
    "1e999",
    '"__proto__":{}',
    '"constructor":{"prototype":{}}',
    '"\\u0000"',
    "\0",
    "[",
    "{",
    "Basic ",
    "Bearer ",
  ],
  long: [
    ["\0", "[", ""],
    ['\0{"ids":[', '"a",', '"b"]}'],
    ["", "&to=a", "\0"],
    ["", "%41", "\0"],
    ['\0{"filter":{"to":"', "*a", '"}}'],
  ],
};
export default target;

/** Whatever comes, it is an answer of ours, in JSON, and no bug. */
function mustBeAnswered(answer: {
  statusCode: number;
  headers: Record<string, unknown>;
  payload: string;
}): void {
  assert.ok(answer.statusCode < 500, `${answer.statusCode} ${answer.payload} ${logged.join("\n")}`);
  assert.match(String(answer.headers["content-type"]), /^application\/(?:problem\+)?json/);
  JSON.parse(answer.payload);
}
