/** The route about one destination: limits and who uses them, why it is slow, and what waits for it. */
import { z } from "zod";
import { age } from "../../../shared/age.ts";
import { type DestinationFacts, readDestinationFacts } from "../../../shared/limits/destination-facts.ts";
import {
  type DestinationLimits,
  destinationLimits,
} from "../../../shared/smtp-client/next-hops/destination.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { defineRoute, type Route } from "./route.ts";
import { describeIndex } from "./summary-routes.ts";
import { summaryBody } from "./summary-schemas.ts";

const timestamp = z.iso.datetime();
const { total, rows, asOf, indexed, notIndexed } = summaryBody.shape;
export const destinationParams = z.object({
  name: z
    .string()
    .trim()
    .toLowerCase()
    .min(1)
    .max(255)
    .describe("A domain of recipients, or the host of a next hop."),
});
export const destinationBody = z.object({
  name: z.string(),
  limits: z.object({
    connections: z.int().describe("As configured, over all processes."),
    messagesPerConnection: z.int(),
    rate: z.string().nullable().describe("Messages and seconds: 600/60s."),
  }),
  connections: z.int().describe("In use now."),
  slots: z
    .array(z.object({ host: z.string().nullable(), pid: z.int().nullable(), connections: z.int() }))
    .describe("The processes that have them."),
  learnt: z
    .object({ connections: z.int(), since: timestamp })
    .nullable()
    .describe("The server has refused connections: it gets so many now, and one more every half minute."),
  dead: z
    .object({ reason: z.string(), until: timestamp, lastAttemptAt: timestamp })
    .nullable()
    .describe("No host answers: no attempt is made until then."),
  why: z.array(z.string()).describe("Why it is slow, one sentence each."),
  waiting: total,
  reasons: rows,
  asOf,
  indexed,
  notIndexed,
});

const reasonsShown = 10;

export function destinationRoutes(deps: AdminDependencies): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/destinations/{name}",
      operationId: "showDestination",
      summary: "The limits of a destination, who uses them, why it is slow, and what waits for it",
      access: "read",
      params: destinationParams,
      responses: { 200: { description: "Also for one that has no mail.", schema: destinationBody } },
      async handle({ params: { name } }) {
        const nowMs = deps.now();
        const limits = destinationLimits(deps.config.limits.destinations)(name);
        const options = { by: "reason", limit: reasonsShown } as const;
        const toDomain = await ask(deps.inspector.summary({ to: `*@${name}` }, options));
        const waiting =
          toDomain.total.messages > 0
            ? toDomain
            : await ask(deps.inspector.summary({ route: name }, options));
        const reachabilityKeys = [`mx ${name}`, name, `${name}:25`];
        const known = { name, limit: limits.connections, reachabilityKeys };
        const facts = await ask(readDestinationFacts(deps.redis, known, nowMs));
        const { learnt, dead } = facts;
        return {
          name,
          limits: {
            connections: limits.connections,
            messagesPerConnection: limits.messagesPerConnection,
            rate: limits.rate === undefined ? null : `${limits.rate.count}/${limits.rate.periodMs / 1000}s`,
          },
          connections: inUse(facts),
          slots: facts.slots.map(({ host, pid, connections }) => ({ host, pid, connections })),
          learnt: learnt && { connections: learnt.connections, since: iso(learnt.atMs) },
          dead: dead && {
            reason: dead.diagnosis.reason,
            until: iso(dead.untilMs),
            lastAttemptAt: iso(dead.lastAttemptMs),
          },
          why: whySlow(facts, limits, nowMs),
          waiting: waiting.total,
          reasons: waiting.rows,
          ...describeIndex(waiting.index),
        };
      },
    }),
  ];
}

/** Sentences for an operator; none when nothing of ours slows it. Pure. */
export function whySlow(facts: DestinationFacts, limits: DestinationLimits, nowMs: number): string[] {
  const { dead, learnt } = facts;
  const why: string[] = [];
  if (dead !== null) {
    why.push(
      `No host answers: ${dead.diagnosis.reason}. The next attempt is made in ${age(dead.untilMs - nowMs)}.`,
    );
  }
  const bearable = Math.min(limits.connections, learnt?.connections ?? limits.connections);
  if (bearable < limits.connections) {
    const ago = age(nowMs - (learnt?.atMs ?? nowMs));
    why.push(
      `It has refused connections ${ago} ago, and gets ${bearable} of ${limits.connections} now; one more every half minute.`,
    );
  }
  if (inUse(facts) >= bearable) why.push(`All ${bearable} connections that it may have are in use.`);
  return why;
}

function inUse({ slots }: DestinationFacts): number {
  return slots.reduce((sum, { connections }) => sum + connections, 0);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
