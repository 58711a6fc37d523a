import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";

let admin: TestAdmin;
let document: Document;
before(async () => {
  admin = await startTestAdmin();
  document = (await (await admin.get("/openapi.json")).json()) as Document;
  // A reload waits for the answers of services, and longer when there are none.
  await admin.announce("ingress");
});
after(() => admin.close());

interface Operation {
  operationId: string;
  summary: string;
  security: Record<string, unknown>[];
  parameters: { name: string; in: string; required: boolean; schema: Record<string, unknown> }[];
  requestBody?: { content: Record<string, { schema: Record<string, unknown> }> };
  responses: Record<
    string,
    { description?: string; content?: Record<string, { schema: unknown }>; $ref?: string }
  >;
}
interface Document {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; responses: Record<string, unknown> };
}

test("every route of the API is in the document", () => {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(operations.sort(), [
    "DELETE /api/v1/holds/{id}",
    "DELETE /api/v1/tasks/{id}",
    "GET /api/v1/config",
    "GET /api/v1/destinations",
    "GET /api/v1/destinations/{name}",
    "GET /api/v1/drain",
    "GET /api/v1/events",
    "GET /api/v1/events/stream",
    "GET /api/v1/holds",
    "GET /api/v1/messages",
    "GET /api/v1/messages/{id}",
    "GET /api/v1/messages/{id}/raw",
    "GET /api/v1/queues",
    "GET /api/v1/queues/summary",
    "GET /api/v1/rates",
    "GET /api/v1/services",
    "GET /api/v1/status",
    "GET /api/v1/tasks",
    "GET /api/v1/tasks/{id}",
    "GET /api/v1/tasks/{id}/report",
    "GET /api/v1/trace",
    "GET /health",
    "GET /metrics",
    "GET /openapi.json",
    "POST /api/v1/drain",
    "POST /api/v1/drain/end",
    "POST /api/v1/holds",
    "POST /api/v1/imports",
    "POST /api/v1/messages",
    "POST /api/v1/messages/hold",
    "POST /api/v1/messages/put-back",
    "POST /api/v1/messages/release",
    "POST /api/v1/messages/remove",
    "POST /api/v1/messages/reroute",
    "POST /api/v1/messages/retry",
    "POST /api/v1/probes",
    "POST /api/v1/reload",
    "POST /api/v1/tasks",
  ]);
});

test("each documented operation is served, and refuses other methods by that document", async () => {
  for (const [path, methods] of Object.entries(document.paths)) {
    const url = admin.url + path.replace("{id}", "0123456789ABCDEFGH");
    const headers = { authorization: "Bearer test-token-of-the-admin" };
    for (const method of Object.keys(methods)) {
      const answer = await fetch(url, { method: method.toUpperCase(), headers });
      assert.notEqual(answer.status, 405, `${method} ${path}`);
      if (answer.status === 404) assert.match(await answer.text(), /No message|no hold|no task/);
    }
    const refused = await fetch(url, { method: "PATCH", headers });
    assert.equal(refused.status, 405, path);
    const allowed = refused.headers.get("allow")?.split(", ") ?? [];
    for (const method of Object.keys(methods)) assert.ok(allowed.includes(method.toUpperCase()), path);
  }
});

test("the document follows the rules of OpenAPI 3.1", () => {
  assert.match(document.openapi, /^3\.1\.\d+$/);
  assert.equal(document.info.title, "Postern admin");
  const ids = new Set<string>();
  for (const [path, methods] of Object.entries(document.paths)) {
    assert.match(path, /^\//);
    for (const operation of Object.values(methods)) {
      assert.ok(!ids.has(operation.operationId), operation.operationId);
      ids.add(operation.operationId);
      assert.ok(operation.summary.length > 10);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      assert.deepEqual(
        operation.parameters.filter(({ in: place }) => place === "path").map(({ name }) => name),
        inPath,
      );
      for (const parameter of operation.parameters) {
        assert.equal(parameter.in === "path" ? parameter.required : true, true);
        assert.ok(Object.keys(parameter.schema).length > 0, `${path} ${parameter.name}`);
      }
      for (const [status, response] of Object.entries(operation.responses)) {
        if (response.$ref === undefined) assert.ok(response.description, `${path} ${status}`);
      }
      assert.deepEqual(operation.responses.default, { $ref: "#/components/responses/Problem" });
    }
  }
  for (const reference of JSON.stringify(document).matchAll(/"\$ref":"(#[^"]+)"/g)) {
    assert.notEqual(resolve(String(reference[1])), undefined, reference[1]);
  }
});

function resolve(pointer: string): unknown {
  return pointer
    .slice(2)
    .split("/")
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], document);
}

test("parameters and bodies are described as they are validated", () => {
  const list = document.paths["/api/v1/messages"]?.get;
  assert.ok(list);
  const schemas = Object.fromEntries(list.parameters.map(({ name, schema }) => [name, schema]));
  assert.deepEqual(Object.keys(schemas).sort(), [
    "cursor",
    "error",
    "from",
    "limit",
    "messageId",
    "older",
    "queue",
    "route",
    "search",
    "sort",
    "status",
    "to",
  ]);
  assert.deepEqual(schemas.status, {
    type: "string",
    enum: ["waiting", "active", "deferred", "held", "dead"],
  });
  assert.deepEqual(schemas.limit, { type: "integer", minimum: 1, maximum: 1000, default: 100 });
  assert.match(JSON.stringify(schemas.older), /\(ms\|s\|m\|h\|d\)/);
  const hold =
    document.paths["/api/v1/messages/hold"]?.post?.requestBody?.content["application/json"]?.schema;
  assert.equal(hold?.type, "object");
  assert.equal(hold?.additionalProperties, false);
  assert.deepEqual(Object.keys((hold?.properties ?? {}) as object).sort(), [
    "all",
    "dryRun",
    "filter",
    "ids",
    "reason",
    "replace",
    "until",
  ]);
});

test("the document says which operations need a token: changes and contents always do", () => {
  const free = (path: string, method: string) =>
    document.paths[path]?.[method]?.security.some((each) => Object.keys(each).length === 0);
  assert.equal(free("/api/v1/messages", "get"), true);
  assert.equal(free("/api/v1/messages/{id}/raw", "get"), false);
  assert.equal(free("/api/v1/messages/remove", "post"), false);
  assert.deepEqual(document.paths["/api/v1/messages/remove"]?.post?.security, [{ token: [] }]);
});

test("responses match their schemas in the document", async () => {
  await admin.accept();
  const { messages } = (await (await admin.get("/api/v1/messages")).json()) as { messages: object[] };
  const schema = document.paths["/api/v1/messages"]?.get?.responses["200"]?.content?.["application/json"]
    ?.schema as { properties: { messages: { items: { required: string[]; properties: object } } } };
  assert.deepEqual(Object.keys(messages[0] ?? {}), Object.keys(schema.properties.messages.items.properties));
});
