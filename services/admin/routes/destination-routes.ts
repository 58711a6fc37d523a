/** The routes about destinations: limits and who uses them, what connections do, why it is slow, and what waits. */
import { age } from "../../../shared/age.ts";
import { addPhases, readConnections } from "../../../shared/limits/connection-phases.ts";
import {
  type DeadHosts,
  type DestinationFacts,
  readDeadDestinations,
  readDestinationFacts,
} from "../../../shared/limits/destination-facts.ts";
import { compileRouting, type Routing } from "../../../shared/routing/classify.ts";
import {
  type DestinationLimits,
  destinationLimits,
} from "../../../shared/smtp-client/next-hops/destination.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { listDestinations } from "./destination-list.ts";
import { findDestination } from "./destination-name.ts";
import {
  destinationBody,
  destinationParams,
  destinationsBody,
  destinationsQuery,
} from "./destination-schemas.ts";
import { lastDeliveries } from "./last-deliveries.ts";
import { defineRoute, type Route } from "./route.ts";
import { describeIndex } from "./summary-routes.ts";

const reasonsShown = 10;
/** Of those with mail: more than a list shows, since others may have connections only. */
const destinationsRead = 10_000;

export function destinationRoutes(deps: AdminDependencies): Route[] {
  /** Compiling takes long with long lists. */
  let compiled: { of: AdminDependencies["config"]; routing: Routing } | undefined;
  const routingOf = (config: AdminDependencies["config"]): Routing => {
    if (compiled?.of !== config) compiled = { of: config, routing: compileRouting(config) };
    return compiled.routing;
  };
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/destinations",
      operationId: "listDestinations",
      summary: "Destinations with queued mail, open connections, or hosts that do not answer",
      access: "read",
      query: destinationsQuery,
      responses: { 200: { description: "The most mail first.", schema: destinationsBody } },
      async handle({ query: { limit } }) {
        const [mail, connections, dead] = await ask(
          Promise.all([
            deps.inspector.summary({}, { by: "destination", limit: destinationsRead }),
            readConnections(deps.redis),
            readDeadDestinations(deps.redis, deps.now()),
          ]),
        );
        const all = listDestinations({ mail: mail.rows, connections, dead });
        return {
          ...describeIndex(mail.index),
          all: all.length,
          destinations: all
            .slice(0, limit)
            .map(({ dead, ...row }) => ({ ...row, dead: dead === undefined ? null : describeDead(dead) })),
        };
      },
    }),
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
        const { nextHop, limitName, hosts, isWholeHost } = findDestination(
          name,
          deps.config,
          routingOf(deps.config),
        );
        const limits = destinationLimits(deps.config.limits.destinations)(limitName);
        const { connections, messagesPerConnection, rate } = limits;
        const meant = { name: limitName, hosts, isWholeHost };
        const known = { ...meant, limit: connections, ...(rate === undefined ? {} : { rate }) };
        const [waiting, facts, lastDelivered] = await ask(
          Promise.all([
            waitingFor(deps, name),
            readDestinationFacts(deps.redis, known, nowMs),
            lastDeliveries(deps.events, name),
          ]),
        );
        const { learnt, dead } = facts;
        const deadHosts = dead.map(describeDead);
        return {
          name,
          nextHop,
          countedAs: limitName,
          limits: {
            connections,
            messagesPerConnection,
            rate: rate === undefined ? null : `${rate.count}/${rate.periodMs / 1000}s`,
          },
          rateInUse: facts.rate && {
            used: facts.rate.used,
            of: facts.rate.burst,
            nextAt: facts.rate.waitMs === 0 ? null : iso(nowMs + facts.rate.waitMs),
          },
          connections: inUse(facts),
          slots: facts.slots.map(({ host, pid, connections }) => ({
            host,
            pid,
            connections,
            phases: phasesOf(facts, limitName, (process) => process.host === host && process.pid === pid),
          })),
          phases: phasesOf(facts, limitName, () => true),
          learnt: learnt && { connections: learnt.connections, since: iso(learnt.atMs) },
          dead: deadHosts[0] ?? null,
          deadHosts,
          why: whySlow(facts, limits, nowMs),
          lastDelivered,
          waiting: waiting.total,
          reasons: waiting.rows,
          ...describeIndex(waiting.index),
        };
      },
    }),
  ];
}

/** By the recipients' domain, or else by the next hop. */
async function waitingFor({ inspector }: AdminDependencies, name: string) {
  const options = { by: "reason", limit: reasonsShown } as const;
  const toDomain = await inspector.summary({ to: `*@${name}` }, options);
  return toDomain.total.messages > 0 ? toDomain : inspector.summary({ route: name }, options);
}

function phasesOf(
  { connections }: DestinationFacts,
  name: string,
  isMeant: (process: DestinationFacts["connections"][number]) => boolean,
) {
  return addPhases(connections.filter(isMeant).map(({ destinations }) => destinations.get(name) ?? {}));
}

function describeDead({ hosts, diagnosis, sinceMs, untilMs, lastAttemptMs }: DeadHosts) {
  return {
    hosts,
    reason: diagnosis.reason,
    since: sinceMs === null ? null : iso(sinceMs),
    until: iso(untilMs),
    lastAttemptAt: iso(lastAttemptMs),
  };
}

/** Sentences for an operator; none when nothing of ours slows it. Pure. */
export function whySlow(
  facts: Pick<DestinationFacts, "dead" | "learnt" | "slots" | "rate">,
  limits: DestinationLimits,
  nowMs: number,
): string[] {
  const { dead, learnt, rate } = facts;
  const why = dead.map(({ hosts, diagnosis, sinceMs, untilMs }) => {
    const which = dead.length === 1 ? "" : ` of ${hosts}`;
    const since = sinceMs === null ? "" : `It has been so for ${age(nowMs - sinceMs)}. `;
    return `No host${which} answers: ${diagnosis.reason}. ${since}The next attempt is made in ${age(untilMs - nowMs)}.`;
  });
  const bearable = Math.min(limits.connections, learnt?.connections ?? limits.connections);
  if (bearable < limits.connections) {
    const ago = age(nowMs - (learnt?.atMs ?? nowMs));
    why.push(
      `It has refused connections ${ago} ago, and gets ${bearable} of ${limits.connections} now; one more every half minute.`,
    );
  }
  if (inUse(facts) >= bearable) why.push(`All ${bearable} connections that it may have are in use.`);
  if (rate !== null && rate.waitMs > 0) {
    why.push(`Its rate is used up: the next message may go in ${age(rate.waitMs)}.`);
  }
  return why;
}

function inUse({ slots }: Pick<DestinationFacts, "slots">): number {
  return slots.reduce((sum, { connections }) => sum + connections, 0);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
