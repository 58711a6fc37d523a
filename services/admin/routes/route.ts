/** A route of the admin: its schemas validate the request, and describe it in the OpenAPI document. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Access, Admitted } from "./access.ts";
import { Problem, type Violation } from "./problem.ts";

export interface RouteResponse {
  description: string;
  /** application/json when there is a schema and this is absent. */
  type?: string;
  schema?: z.ZodType;
}

/** A route without the types of its parameters, for registering and describing. */
export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** As OpenAPI writes it: `/api/v1/messages/{id}`. */
  path: string;
  operationId: string;
  summary: string;
  access: Access;
  /** Octets of the body at most; absent: that of the server. */
  bodyLimit?: number;
  /** The media type of a body that is octets, not JSON. */
  bodyType?: "application/mbox";
  /** Answers with server-sent events. */
  isStream?: true;
  params?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  /** By status; the document adds the problem responses to every route. */
  responses: Record<number, RouteResponse>;
  /** Parses, then handles. @throws Problem */
  respond(request: FastifyRequest, reply: FastifyReply): Promise<unknown>;
}

/** The input of a handler: parsed values, with the request and the reply of Fastify. */
export interface RouteInput<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  request: FastifyRequest;
  reply: FastifyReply;
}

interface RouteSpec<P, Q, B> extends Omit<Route, "respond" | "params" | "query" | "body"> {
  params?: z.ZodType<P>;
  query?: z.ZodType<Q>;
  body?: z.ZodType<B>;
  handle(input: RouteInput<P, Q, B>): Promise<unknown>;
}

export function defineRoute<P = undefined, Q = undefined, B = undefined>(spec: RouteSpec<P, Q, B>): Route {
  const { handle, ...described } = spec;
  return {
    ...described,
    respond(request, reply) {
      const violations: Violation[] = [];
      const params = parsePart(spec.params, request.params, "path", violations);
      const query = parsePart(spec.query, request.query, "query", violations);
      const body = parsePart(spec.body, request.body, "body", violations);
      if (violations.length > 0) {
        const detail = violations.map((violation) => `${violation.field} ${violation.detail}`).join("; ");
        throw new Problem(400, detail, { violations });
      }
      // Without a violation each value is the output of its schema, and `undefined` where there is no schema.
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

/** For changes of very many messages, and for large messages to slow clients. */
const longTimeoutMs = 600_000;

export function registerRoutes(app: FastifyInstance, routes: readonly Route[]): void {
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
      config: { access: route.access },
      ...(route.bodyLimit === undefined ? {} : { bodyLimit: route.bodyLimit }),
      ...(route.isStream === true ? { sse: "only" as const } : {}),
      ...(route.access === "write" || route.access === "content" ? { handlerTimeout: longTimeoutMs } : {}),
      handler: (request, reply) => route.respond(request, reply),
    });
  }
}

/** The methods that a path answers to; none when no route has it. It decides between 405 and 404. */
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
    caller: Admitted;
  }
}
