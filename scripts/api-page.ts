/** docs/api.md, from the OpenAPI document that the admin serves. */
import { readFileSync } from "node:fs";
import { allRoutes, type RouteParts } from "../services/admin/routes/all-routes.ts";
import type { AdminDependencies } from "../services/admin/routes/dependencies.ts";
import { createEventFeed } from "../services/admin/routes/event-feed.ts";
import { openApiDocument } from "../services/admin/routes/openapi.ts";

interface Schema {
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  format?: string;
  minimum?: number;
  maximum?: number;
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
  anyOf?: Schema[];
  oneOf?: Schema[];
}
interface Operation {
  summary: string;
  security: Record<string, unknown>[];
  parameters: { name: string; in: string; required: boolean; description?: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { description?: string; content?: Record<string, { schema: Schema }> }>;
}

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
// Nothing is asked: the routes are only described.
const idle = {} as AdminDependencies;
const document = openApiDocument(
  allRoutes({
    deps: idle,
    tasks: {} as RouteParts["tasks"],
    prober: () => ({}) as ReturnType<RouteParts["prober"]>,
    stream: createEventFeed(idle).route,
    metrics: { contentType: "text/plain", text: async () => "" },
    version,
  }),
  version,
) as unknown as { paths: Record<string, Record<string, Operation>> };

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    operation,
  })),
);

/** The scope that a token needs, and whether a request from this machine needs one. */
function access({ security }: Operation): string {
  if (security.some((each) => Object.keys(each).length === 0)) return "read";
  return security.some((each) => "browser" in each) ? "content" : "write";
}

export function apiPage(): string {
  const rows = operations.map(
    ({ name, operation }) =>
      `| [\`${name}\`](#${anchor(name)}) | ${operation.summary} | ${access(operation)} |`,
  );
  return `<!-- Made by \`npm run generate\` from the routes of services/admin. Do not edit. -->
# API

The admin answers at \`http://127.0.0.1:8025\` (\`admin.address\`, \`admin.port\`). The command line and the dashboard use
this API and nothing else, so that whatever they can do, a program can do too. The same as OpenAPI 3.1: \`/openapi.json\`.

\`\`\`sh
curl -s http://127.0.0.1:8025/api/v1/status
curl -s "http://127.0.0.1:8025/api/v1/messages?status=deferred&sort=oldest"
curl -s -X POST http://127.0.0.1:8025/api/v1/messages/retry \\
  -H "Authorization: Bearer $(cat data/admin.token)" -H "Content-Type: application/json" \\
  -d '{"filter": {"to": "*@example.com"}}'
\`\`\`

- **Access.** \`Authorization: Bearer TOKEN\`. The last column of the table is the scope that the token needs (\`admin.tokens\`;
  \`admin.token\` has all). \`read\` needs no token from this machine; \`content\` (header fields, bodies) and \`write\` always do.
- **Errors** are \`application/problem+json\` (RFC 9457): \`title\`, \`status\`, \`detail\` (one sentence), and \`errors\` with the
  fields that are wrong. 401 and 403 come before any look at the request.
- **Times** are ISO 8601 in UTC, durations \`30s\`, \`5m\`, \`4h\`, \`5d\`, sizes octets, unless a field says otherwise.

| operation | what it does | scope |
| --- | --- | --- |
${rows.join("\n")}

${operations.map(({ name, operation }) => section(name, operation)).join("\n\n")}
`;
}

/** As GitHub makes it from the heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
    .replaceAll(" ", "-");
}

function section(name: string, operation: Operation): string {
  const parts = [`## ${name}`, `${operation.summary}. Scope: \`${access(operation)}\`.`];
  if (operation.parameters.length > 0) {
    const rows = operation.parameters.map(({ name: parameter, in: place, required, description, schema }) =>
      row(
        `\`${parameter}\``,
        place,
        describe({ ...schema, ...(description ? { description } : {}) }, required),
      ),
    );
    parts.push(["| parameter | in | |", "| --- | --- | --- |", ...rows].join("\n"));
  }
  const body = operation.requestBody?.content["application/json"]?.schema;
  if (body !== undefined) parts.push(`Body, JSON:\n\n${fieldTable(body)}`);
  else if (operation.requestBody !== undefined)
    parts.push(`Body: octets (${Object.keys(operation.requestBody.content).join()}).`);
  for (const [status, { description = "", content }] of Object.entries(operation.responses)) {
    if (status === "default") continue;
    const [[type, { schema }] = ["", { schema: {} }]] = Object.entries(content ?? {});
    const kind = type === "" || type === "application/json" ? "" : ` (${type})`;
    const table = type === "application/json" ? fieldTable(schema) : "";
    parts.push(`**${status}**${kind}: ${description}${table === "" ? "" : `\n\n${table}`}`);
  }
  return parts.join("\n\n");
}

/** One row for each field; fields of objects within are \`outer.inner\`, of lists \`outer[].inner\`. */
function fieldTable(schema: Schema): string {
  const rows = fields(schema, "");
  if (rows.length === 0) return "";
  return ["| field | |", "| --- | --- |", ...rows].join("\n");
}

function fields(schema: Schema, prefix: string): string[] {
  const choices = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  if (choices.length > 0) return [...new Set(choices.flatMap((each) => fields(each, prefix)))];
  if (schema.items !== undefined) return fields(schema.items, `${prefix}[]`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const path = prefix === "" ? name : `${prefix}.${name}`;
    const required = schema.required?.includes(name) ?? false;
    return [row(`\`${path}\``, describe(property, required)), ...fields(property, path)];
  });
}

/** Type, limits, and the sentence of the schema. */
function describe(schema: Schema, required: boolean): string {
  const facts = [typeName(schema)];
  if (!required) facts.push("optional");
  if (schema.default !== undefined) facts.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.minimum !== undefined && schema.minimum > Number.MIN_SAFE_INTEGER)
    facts.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER)
    facts.push(`at most ${schema.maximum}`);
  const text = schema.description ?? "";
  return `${facts.filter((fact) => fact !== "").join(", ")}${text === "" ? "" : `: ${text}`}`;
}

function typeName({ type, enum: values, const: constant, items, anyOf, oneOf, format }: Schema): string {
  if (values !== undefined) return values.map((value) => `\`${value}\``).join(", ");
  if (constant !== undefined) return `\`${constant}\``;
  const choices = anyOf ?? oneOf;
  if (choices !== undefined) return [...new Set(choices.map(typeName))].join(" or ");
  if (items !== undefined) return `list of ${plural(typeName(items))}`;
  const name = Array.isArray(type) ? type.join(" or ") : (type ?? "any value");
  return format === "date-time" ? "time" : name;
}

function plural(name: string): string {
  return /^[a-z]+$/.test(name) ? `${name}s` : name;
}

function row(...cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll(/\s+/g, " ")).join(" | ")} |`;
}
