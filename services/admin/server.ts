/** The HTTP server of the admin: access control before anything else, problem details for every error, time limits. */
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from "fastify";
import type { Logger } from "../../shared/runtime/log.ts";
import { unreachable } from "../../shared/unreachable.ts";
import type { RequestMetrics } from "./request-metrics.ts";
import { type Access, type AccessPolicy, type Admitted, decideAccess } from "./routes/access.ts";
import { Problem, problemBody, problemType } from "./routes/problem.ts";
import { methodsOf, type Route } from "./routes/route.ts";

/** Room for ten thousand ids in a selection; larger changes use filters. */
const maxBodyBytes = 512 * 1024;
/** Reads are short: one that takes longer waits for a Redis that does not answer. */
const readTimeoutMs = 10_000;

/** Loads nothing from other sites and forbids framing (OWASP Secure Headers). */
const contentSecurityPolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; form-action 'none'";

/**
 * @param routes  our own; a plugin brings further ones, of which GET and HEAD need read access and all others write access
 */
export function createServer(
  routes: readonly Route[],
  policy: AccessPolicy,
  log: Logger,
  metrics?: RequestMetrics,
): FastifyInstance {
  const app = fastify({
    bodyLimit: maxBodyBytes,
    connectionTimeout: 60_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 5_000,
    handlerTimeout: readTimeoutMs,
    // Trust depends on the peer's address, never on a header.
    trustProxy: false,
    routerOptions: { maxParamLength: 1000 },
    forceCloseConnections: "idle",
    frameworkErrors: (error, _request, reply) => void sendProblem(reply, problemOf(error)),
    clientErrorHandler(error, socket) {
      if (socket.writable) socket.write(rawProblem(error.code === "HPE_HEADER_OVERFLOW" ? 431 : 400));
      socket.destroy();
    },
  });
  // Only application/json and mailboxes are parsed, which a form on a foreign page cannot send.
  app.removeContentTypeParser("text/plain");
  app.addContentTypeParser(
    "application/mbox",
    { parseAs: "buffer" },
    async (_request: unknown, body: unknown) => body,
  );
  app.decorateRequest("caller");
  app.addHook("onRequest", async (request, reply) => {
    reply.headers({
      "content-security-policy": contentSecurityPolicy,
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "cache-control": "no-store",
    });
    const admission = admit(request, policy);
    // Sent, not thrown: a plugin has an error handler of its own.
    if (admission instanceof Problem) return sendProblem(reply, admission);
    request.caller = admission;
    return undefined;
  });
  if (metrics !== undefined) {
    app.addHook("onResponse", async (request, reply) => {
      metrics.answered(request.method, request.routeOptions.url, reply.statusCode, reply.elapsedTime / 1000);
    });
  }
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = problemOf(error);
    if (problem.status === 500)
      log.error({ err: error, url: request.url }, "the admin failed to handle a request");
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((request) => {
    const allowed = methodsOf(routes, new URL(request.url, "http://admin").pathname);
    if (allowed.length === 0) throw new Problem(404, "There is nothing at this path.");
    const allow = allowed.join(", ");
    throw new Problem(405, `This path answers ${allow}.`, { headers: { allow } });
  });
  return app;
}

/** @returns the caller, or the problem that refuses the request */
function admit(request: FastifyRequest, policy: AccessPolicy): Admitted | Problem {
  const headers = request.headers;
  const caller = {
    remoteAddress: request.socket.remoteAddress,
    authorization: headers.authorization,
    host: headers.host,
    forwarded: forwardingHeaders.some((name) => headers[name] !== undefined),
  };
  const decision = decideAccess(accessOf(request), caller, policy);
  switch (decision.kind) {
    case "granted":
      return decision.caller;
    case "unauthenticated":
      return new Problem(401, decision.detail, {
        // RFC 9110 §11.6.1: the schemes that are accepted. Basic is for browsers on other machines.
        headers: { "www-authenticate": 'Bearer realm="postern", Basic realm="postern", charset="UTF-8"' },
      });
    case "forbidden":
      return new Problem(403, decision.detail);
    default:
      return unreachable(decision);
  }
}

const forwardingHeaders = [
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
];

function accessOf(request: FastifyRequest): Access {
  const declared = request.routeOptions.config.access;
  if (declared !== undefined) return declared;
  return request.method === "GET" || request.method === "HEAD" ? "read" : "write";
}

function problemOf(error: FastifyError | Problem): Problem {
  if (error instanceof Problem) return error;
  if (error.code === "FST_ERR_HANDLER_TIMEOUT") return new Problem(503, "Redis does not answer in time.");
  const status = error.statusCode ?? 500;
  // Fastify's messages about bad JSON, sizes and media types are for the client; the message of a bug is not.
  if (status >= 400 && status < 500) return new Problem(status, error.message);
  return new Problem(500, "The log of the admin has the details.");
}

function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply.code(problem.status).headers(problem.headers).type(problemType).send(problemBody(problem));
}

/** The response to octets that are not an HTTP request. */
function rawProblem(status: 400 | 431): string {
  const reason = status === 431 ? "Request Header Fields Too Large" : "Bad Request";
  const body = JSON.stringify({
    title: reason,
    status,
    detail: "This is not a valid HTTP request.",
  });
  return `HTTP/1.1 ${status} ${reason}\r\nContent-Type: ${problemType}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}
