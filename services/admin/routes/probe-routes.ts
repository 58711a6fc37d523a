/** The route that looks how a delivery would go: DNS, policies, session, MAIL and RCPT, without mail. */
import { z } from "zod";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { summarizeRoute } from "../../../shared/routing/route.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import type { ProbeClient } from "../../../shared/smtp-client/probe.ts";
import { actorOf } from "./actor.ts";
import type { AdminDependencies } from "./dependencies.ts";
import { mailbox } from "./mailbox.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

/** Each holds a connection to somebody else's server. */
const atOnce = 4;
const withinMs = 60_000;

const described = { jsonSchema: { type: "string" } };
export const probeBody = z.strictObject({
  address: mailbox.meta({ ...described, description: "The recipient." }),
  from: z
    .union([z.enum(["", "<>"]).transform(() => ""), mailbox])
    .default("")
    .meta({ ...described, description: "The sender of MAIL; absent: the null sender." }),
});

export const probeReport = z.object({
  address: z.string(),
  from: z.string(),
  route: z.string().describe("The row of the routing table and the next hop."),
  result: z
    .enum(["accepted", "deferred", "refused", "unreachable"])
    .describe("What the first server that opened a session said to MAIL and RCPT; unreachable: none did."),
  ms: z.number(),
  steps: z.array(
    z.object({
      step: z
        .string()
        .describe(
          "MX, A, AAAA, TLSA, MTA-STS, connect, greeting, EHLO, STARTTLS, TLS, DANE, AUTH, MAIL, RCPT.",
        ),
      target: z.string().describe("The name that was asked for, or the server."),
      ok: z.boolean().nullable().describe("null: neither good nor bad."),
      ms: z.number(),
      detail: z.string(),
    }),
  ),
});

/** @param client  made when the first probe is asked for */
export function probeRoutes(deps: AdminDependencies, client: () => ProbeClient): Route[] {
  let running = 0;
  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/probes",
      operationId: "probe",
      summary: "Looks how a delivery to an address would go now, up to RCPT; sends no mail",
      access: "write",
      body: probeBody,
      responses: { 200: { description: "Each step with its time.", schema: probeReport } },
      async handle({ body: { address, from }, request, reply }) {
        if (running >= atOnce) throw new Problem(503, `${atOnce} probes are under way: try again soon.`);
        running++;
        const startedMs = performance.now();
        const gone = new AbortController();
        reply.raw.on("close", () => gone.abort());
        try {
          const route = compileRouting(deps.config).routeRecipient(null, from, address);
          const { result, steps } = await client().probe({
            nextHop: route.nextHop,
            from,
            to: address,
            withinMs,
            signal: gone.signal,
          });
          logEvent(deps.log, { event: "admin.probe", ...actorOf(request), to: address, result });
          const ms = Math.round(performance.now() - startedMs);
          return { address, from, route: summarizeRoute(route).label, result, ms, steps };
        } finally {
          running--;
        }
      },
    }),
  ];
}
