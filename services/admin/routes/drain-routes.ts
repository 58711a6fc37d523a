/** The routes that take a host out of service, and put it back. */
import { z } from "zod";
import { readAnnouncements } from "../../../shared/runtime/announcement.ts";
import { beginDrain, endDrain, readDrains } from "../../../shared/runtime/drain.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import { actorOf } from "./actor.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { hostStates, leftMail } from "./drain-state.ts";
import { queueRows } from "./overview-routes.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

const hostName = z.string().min(1).max(255);
const drainBody = z.strictObject({
  host: hostName.describe("As `GET /api/v1/services` names it."),
  reason: z.string().max(500).optional().describe("For people."),
});
const endBody = z.strictObject({ host: hostName });
const count = z.int();
const drainReport = z.object({
  hosts: z.array(
    z.object({
      host: z.string(),
      state: z
        .enum(["in-service", "draining", "drained"])
        .describe(
          "`drained`: no client is connected, and all mail that could be delivered is, or other hosts deliver it.",
        ),
      since: z.string().nullable(),
      by: z.string().nullable().describe("The name of a token."),
      reason: z.string().nullable(),
      processes: z.array(
        z.object({
          pid: z.int(),
          sessions: z.int().nullable().describe("Clients that are connected; null: it does not know yet."),
        }),
      ),
      others: z.int().describe("Hosts that still take mail."),
    }),
  ),
  mail: z
    .object({ waiting: count, active: count, deferred: count, held: count, dead: count })
    .describe(
      "Jobs in the queues of the whole gateway, notifications that are still to be made, and messages that wait in the spool until Redis has room.",
    ),
});
type DrainReport = z.infer<typeof drainReport>;

export function drainRoutes(deps: AdminDependencies): Route[] {
  const { redis, log, now } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/drain",
      operationId: "drainState",
      summary: "Which hosts take mail, and how far those are that are taken out of service",
      access: "read",
      responses: { 200: { description: "All hosts with an ingress.", schema: drainReport } },
      handle: () => ask(report(deps)),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/drain",
      operationId: "drain",
      summary: "Take a host out of service: its ingress takes no new sessions, and is not ready",
      access: "write",
      body: drainBody,
      responses: { 200: { description: "It is begun.", schema: drainReport } },
      async handle({ body: { host, reason = "" }, request }) {
        const { hosts } = await ask(report(deps));
        if (!hosts.some((each) => each.host === host)) throw new Problem(404, unknownHost(host, hosts));
        const { by } = actorOf(request);
        await ask(beginDrain(redis, host, { sinceMs: now(), by, reason }));
        logEvent(log, { event: "admin.drain", ...actorOf(request), host, reason });
        return ask(report(deps));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/drain/end",
      operationId: "endDrain",
      summary: "Put a host back into service",
      access: "write",
      body: endBody,
      responses: { 200: { description: "It takes mail again within a second or two.", schema: drainReport } },
      async handle({ body: { host }, request }) {
        const wasOut = await ask(endDrain(redis, host));
        if (!wasOut) throw new Problem(404, `${host} is not taken out of service.`);
        logEvent(log, { event: "admin.undrain", ...actorOf(request), host });
        return ask(report(deps));
      },
    }),
  ];
}

async function report({ redis, inspector }: AdminDependencies): Promise<DrainReport> {
  const [announced, drains, counts] = await Promise.all([
    readAnnouncements(redis),
    readDrains(redis),
    inspector.counts(),
  ]);
  const mail = leftMail(queueRows(counts), announced);
  return { hosts: hostStates(announced, drains, mail), mail };
}

function unknownHost(host: string, hosts: DrainReport["hosts"]): string {
  const names = hosts.map((each) => each.host).join(", ");
  return `No ingress runs on ${host}${names === "" ? "" : `; there are: ${names}`}.`;
}
