/** What a route of the admin is: its schemas validate the request and describe it in the OpenAPI document alike. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Access } from "./access.ts";
import { Problem, type Violation } from "./problem.ts";

export interface RouteResponse {
  description: string;
  /** application/json when there is a schema and this is absent. */
  type?: string;
  schema?: z.ZodType;
}

/** A route with its types erased: what registering and describing need. */
export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** As OpenAPI writes it: `/api/v1/messages/{id}`. */
  path: string;
  operationId: string;
  summary: string;
  access: Access;
  params?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  /** By status; the problem responses are added to the document for every route alike. */
  responses: Record<number, RouteResponse>;
  /** Parses, then handles. @throws Problem */
  run(request: FastifyRequest, reply: FastifyReply): Promise<unknown>;
}

/** What a handler gets: parsed values, and who asks. */
export interface RouteInput<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  request: FastifyRequest;
  reply: FastifyReply;
}

interface RouteSpec<P, Q, B> extends Omit<Route, "run" | "params" | "query" | "body"> {
  params?: z.ZodType<P>;
  query?: z.ZodType<Q>;
  body?: z.ZodType<B>;
  handle(input: RouteInput<P, Q, B>): Promise<unknown>;
}

export function defineRoute<P = undefined, Q = undefined, B = undefined>(spec: RouteSpec<P, Q, B>): Route {
  const { handle, ...described } = spec;
  return {
    ...described,
    run(request, reply) {
      const violations: Violation[] = [];
      const params = parsePart(spec.params, request.params, "path", violations);
      const query = parsePart(spec.query, request.query, "query", violations);
      const body = parsePart(spec.body, request.body, "body", violations);
      if (violations.length > 0) {
        const detail = violations.map((violation) => `${violation.field} ${violation.detail}`).join("; ");
        throw new Problem(400, detail, { violations });
      }
      // Without a violation each part is what its schema gives, and `undefined` where there is no schema.
      return handle({ params: params as P, query: query as Q, body: body as B, request, reply });
    },
  };
}

function parsePart<T>(
  schema: z.ZodType<T> | undefined,
  value: unknown,
  part: string,
  violations: Violation[],
): T | undefined {
  if (schema === undefined) return undefined;
  if (value === undefined || value === null) {
    violations.push({ field: part, detail: "is missing" });
    return undefined;
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    violations.push({ field: fieldPath(part, issue.path), detail: issue.message });
  }
  return undefined;
}

function fieldPath(part: string, path: readonly PropertyKey[]): string {
  let field = part;
  for (const key of path) field += typeof key === "number" ? `[${key}]` : `.${String(key)}`;
  return field;
}

/** A change of very many messages, or a large message to a slow reader, may take its time. */
const longTimeoutMs = 600_000;

export function registerRoutes(app: FastifyInstance, routes: readonly Route[]): void {
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
      config: { access: route.access },
      ...(route.access === "write" || route.access === "content" ? { handlerTimeout: longTimeoutMs } : {}),
      handler: (request, reply) => route.run(request, reply),
    });
  }
}

/** The methods that a path answers to; empty when no route has it. Tells 405 from 404. */
export function methodsOf(routes: readonly Route[], path: string): string[] {
  const methods = new Set<string>();
  for (const route of routes) {
    const pattern = route.path.replaceAll(/[.]/g, "\\.").replaceAll(/\{\w+\}/g, "[^/]+");
    if (!new RegExp(`^${pattern}$`).test(path)) continue;
    methods.add(route.method);
    if (route.method === "GET") methods.add("HEAD");
  }
  return [...methods].sort();
}

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
  }
  interface FastifyRequest {
    /** Whether the caller may see details: always true but on `open` routes. */
    trusted: boolean;
  }
}
