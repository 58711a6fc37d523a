/** The OpenAPI 3.1 document of the admin, generated from the schemas that validate its requests. */
import { z } from "zod";
import { problemType } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

type Json = Record<string, unknown>;

/** @param all  returns every route of the admin, this one included */
export function openApiRoute(version: string, all: () => readonly Route[]): Route {
  let document: Json | undefined;
  return defineRoute({
    method: "GET",
    path: "/openapi.json",
    operationId: "describeApi",
    summary: "This document",
    access: "read",
    responses: { 200: { description: "OpenAPI 3.1.", type: "application/json" } },
    async handle() {
      document ??= openApiDocument(all(), version);
      return document;
    },
  });
}

/** The document. @param version  of the product */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Postern admin",
      version,
      description:
        "The queues of a Postern gateway. Reads from loopback need no token; changes need one with the scope write, header fields and bodies one with the scope content. Errors are RFC 9457 problem details.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "admin.token or one of admin.tokens." },
        browser: {
          type: "http",
          scheme: "basic",
          description:
            "For reading with a browser from another machine: any user name, the token as password.",
        },
      },
      schemas: { Problem: problemSchema },
      responses: {
        Problem: {
          description: "The error: 400, 401, 403, 404, 405, 409, 413, 415, 429, 500 or 503.",
          content: { [problemType]: { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
    },
  };
}

const problemSchema = {
  type: "object",
  required: ["title", "status", "detail"],
  properties: {
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string", description: "One sentence for people." },
    errors: {
      type: "array",
      description: "The fields of the request that are wrong, and why.",
      items: {
        type: "object",
        required: ["field", "detail"],
        properties: { field: { type: "string" }, detail: { type: "string" } },
      },
    },
  },
};

function operation(route: Route): Json {
  const responses: Json = {};
  for (const [status, response] of Object.entries(route.responses)) {
    const schema = response.schema === undefined ? { type: "string" } : jsonSchema(response.schema, "output");
    const type = response.type ?? (response.schema === undefined ? undefined : "application/json");
    responses[status] = {
      description: response.description,
      ...(type === undefined ? {} : { content: { [type]: { schema } } }),
    };
  }
  return {
    operationId: route.operationId,
    summary: route.summary,
    security: security(route),
    parameters: [...parameters(route.params, "path"), ...parameters(route.query, "query")],
    ...requestBody(route),
    responses: { ...responses, default: { $ref: "#/components/responses/Problem" } },
  };
}

function requestBody({ body, bodyType }: Route): Json {
  if (body === undefined && bodyType === undefined) return {};
  const content =
    body === undefined
      ? // OpenAPI 3.1 §4.8.14: octets have no schema.
        { [bodyType ?? ""]: {} }
      : { "application/json": { schema: jsonSchema(body, "input") } };
  return { requestBody: { required: true, content } };
}

/** An empty requirement makes credentials optional (OpenAPI 3.1 §4.8.30): from loopback, and for probes. */
function security(route: Route): Json[] {
  if (route.access === "write") return [{ token: [] }];
  if (route.access === "content") return [{ token: [] }, { browser: [] }];
  return [{ token: [] }, { browser: [] }, {}];
}

function parameters(schema: z.ZodType | undefined, place: "path" | "query"): Json[] {
  if (schema === undefined) return [];
  const described = jsonSchema(schema, "input");
  const required = (described.required ?? []) as string[];
  return Object.entries((described.properties ?? {}) as Record<string, Json>).map(([name, property]) => {
    const { description, ...rest } = property;
    return {
      name,
      in: place,
      required: place === "path" || required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}

/** Metadata `jsonSchema` replaces the generated description of a schema, whose transform hides what it accepts. */
function jsonSchema(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    override({ zodSchema, jsonSchema: made }) {
      const own = z.globalRegistry.get(zodSchema)?.jsonSchema;
      if (own === undefined) return;
      const { description } = made;
      for (const key of Object.keys(made)) delete made[key];
      Object.assign(made, own, description === undefined ? {} : { description });
    },
  });
  return rest;
}
