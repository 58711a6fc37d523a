import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { Access } from "../../../services/admin/routes/access.ts";
import { defineRoute, methodsOf, type Route, registerRoutes } from "../../../services/admin/routes/route.ts";
import { createServer } from "../../../services/admin/server.ts";
import { createLogger } from "../../../shared/runtime/log.ts";

const token = "s3cret";
const bearer = { authorization: `Bearer ${token}` };

function route(method: Route["method"], path: string, access: Access): Route {
  return defineRoute({
    method,
    path,
    operationId: path,
    summary: path,
    access,
    ...(method === "POST" ? { body: z.strictObject({ ids: z.array(z.string()) }) } : {}),
    responses: { 200: { description: "ok" } },
    async handle({ request, body }) {
      if (body !== undefined && (body as { ids: string[] }).ids[0] === "bug")
        throw new TypeError("secret words");
      return { trusted: request.caller.trusted };
    },
  });
}

const routes = [
  route("GET", "/health", "open"),
  route("GET", "/things", "read"),
  route("GET", "/things/{id}", "content"),
  route("POST", "/things/change", "write"),
  route("DELETE", "/things/{id}", "write"),
];

function server(lines: string[] = []) {
  const log = createLogger("admin", { write: (line) => lines.push(line) });
  const app = createServer(
    routes,
    {
      tokens: [{ name: "admin", token, scopes: ["read", "content", "write"] }],
      hostNames: ["gw.example.net"],
    },
    log,
  );
  registerRoutes(app, routes);
  return app;
}

const remote = { remoteAddress: "192.0.2.7" };
const near = { remoteAddress: "127.0.0.1" };

test("a client without credentials gets 401 with the schemes that are accepted, and nothing else", async () => {
  const app = server();
  const answer = await app.inject({ url: "/things", ...remote });
  assert.equal(answer.statusCode, 401);
  assert.match(String(answer.headers["www-authenticate"]), /^Bearer realm="postern", Basic/);
  assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/);
  assert.deepEqual(answer.json(), {
    title: "A token is needed",
    status: 401,
    detail: "Send Authorization: Bearer TOKEN.",
  });
  assert.equal((await app.inject({ url: "/things", ...remote, headers: bearer })).statusCode, 200);
  assert.equal((await app.inject({ url: "/things", ...near })).statusCode, 200);
});

test("access is refused before path and body are read", async () => {
  const app = server();
  for (const request of [
    {
      method: "POST",
      url: "/things/change",
      payload: "not json",
      headers: { "content-type": "application/json" },
    },
    { method: "POST", url: "/things/change", payload: "a=b", headers: { "content-type": "text/plain" } },
    { method: "POST", url: "/things/change", payload: JSON.stringify({ wrong: 1 }) },
    { method: "DELETE", url: "/things/1" },
    { method: "DELETE", url: "/things" },
    { method: "POST", url: "/nothing" },
    { method: "PUT", url: "/things/change" },
  ] as const) {
    assert.equal((await app.inject({ ...request, ...near })).statusCode, 401, request.url);
  }
  assert.equal((await app.inject({ url: "/nothing", ...remote })).statusCode, 401);
});

test("no header makes a remote client local, and the headers of a proxy make a local client remote", async () => {
  const app = server();
  for (const name of ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host", "via"]) {
    const headers = { [name]: "127.0.0.1" };
    assert.equal((await app.inject({ url: "/things", ...remote, headers })).statusCode, 401, name);
    assert.equal((await app.inject({ url: "/things", ...near, headers })).statusCode, 401, name);
  }
});

test("a name that was rebound to loopback is refused with 403", async () => {
  const app = server();
  const answer = await app.inject({ url: "/things", ...near, headers: { host: "evil.example" } });
  assert.equal(answer.statusCode, 403);
  assert.equal(answer.json().title, "Not allowed");
});

test("the password that a browser repeats is good for reading, not for writing", async () => {
  const app = server();
  const basic = { authorization: `Basic ${Buffer.from(`me:${token}`).toString("base64")}` };
  assert.equal((await app.inject({ url: "/things/1", ...remote, headers: basic })).statusCode, 200);
  const write = await app.inject({ method: "DELETE", url: "/things/1", ...near, headers: basic });
  assert.equal(write.statusCode, 403);
});

test("health is open, with details for trusted callers", async () => {
  const app = server();
  assert.deepEqual((await app.inject({ url: "/health", ...remote })).json(), { trusted: false });
  assert.deepEqual((await app.inject({ url: "/health", ...near })).json(), { trusted: true });
});

test("validation names each field that is wrong", async () => {
  const app = server();
  const answer = await app.inject({
    method: "POST",
    url: "/things/change",
    headers: bearer,
    payload: { ids: ["a", 7], more: true },
  });
  assert.equal(answer.statusCode, 400);
  const { errors } = answer.json();
  assert.deepEqual(
    errors.map((error: { field: string }) => error.field),
    ["body.ids[1]", "body"],
  );
  const empty = await app.inject({ method: "POST", url: "/things/change", headers: bearer });
  assert.equal(empty.statusCode, 400);
  assert.deepEqual(empty.json().errors, [{ field: "body", detail: "is missing" }]);
});

test("forms, bad JSON, poisoned JSON and huge bodies are refused as problems", async () => {
  const app = server();
  const json = { ...bearer, "content-type": "application/json" };
  const cases = [
    [415, { "content-type": "application/x-www-form-urlencoded" }, "ids=1"],
    [415, { "content-type": "text/plain" }, "{}"],
    [415, { "content-type": "multipart/form-data; boundary=x" }, "--x--"],
    [400, {}, "{"],
    [400, {}, ""],
    [400, {}, '{"__proto__": {"polluted": true}, "ids": []}'],
    [413, {}, JSON.stringify({ ids: Array(60_000).fill("0123456789") })],
  ] as const;
  for (const [status, headers, payload] of cases) {
    const answer = await app.inject({
      method: "POST",
      url: "/things/change",
      headers: { ...json, ...headers },
      payload,
    });
    assert.equal(answer.statusCode, status, payload.slice(0, 30));
    assert.match(String(answer.headers["content-type"]), /^application\/problem\+json/);
    assert.equal(answer.json().status, status);
    assert.ok(answer.json().detail.length > 0);
  }
});

test("a wrong method is 405 and names the right ones; an unknown path is 404", async () => {
  const app = server();
  const wrong = await app.inject({ method: "PUT", url: "/things/1?x=y", headers: bearer });
  assert.equal(wrong.statusCode, 405);
  assert.equal(wrong.headers.allow, "DELETE, GET, HEAD");
  assert.equal((await app.inject({ url: "/things/1/2", headers: bearer })).statusCode, 404);
  assert.equal((await app.inject({ url: "//evil.example/..%2f", headers: bearer })).statusCode, 404);
  assert.equal((await app.inject({ url: "/%", headers: bearer })).statusCode, 400);
  assert.deepEqual(methodsOf(routes, "/health"), ["GET", "HEAD"]);
  assert.deepEqual(methodsOf(routes, "/healthy"), []);
});

test("a bug is answered with 500 without its message, which is logged", async () => {
  const lines: string[] = [];
  const app = server(lines);
  const answer = await app.inject({
    method: "POST",
    url: "/things/change",
    headers: bearer,
    payload: { ids: ["bug"] },
  });
  assert.equal(answer.statusCode, 500);
  assert.ok(!answer.body.includes("secret words"));
  assert.match(lines.join(""), /secret words/);
});

test("responses forbid framing, caching and loading from other sites", async () => {
  const { headers } = await server().inject({ url: "/things", ...near });
  assert.match(String(headers["content-security-policy"]), /default-src 'self'.*frame-ancestors 'none'/);
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["cache-control"], "no-store");
  assert.equal(headers["access-control-allow-origin"], undefined);
});
