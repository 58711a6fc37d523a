/** Routes for hold rules, which hold the mail in the queues and mail that comes later. */
import { holdCovered, releaseUncovered } from "../../../shared/queue/holds/enforcement.ts";
import { type HoldRule, holdRuleId } from "../../../shared/queue/holds/rules.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import { actorOf } from "./actor.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import { type HoldView, holdAdded, holdList, holdParams, holdRemoved, newHold } from "./schemas.ts";

export function holdRoutes({ holds, redis, log, now }: AdminDependencies): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/holds",
      operationId: "listHolds",
      summary: "The hold rules that are in force",
      access: "read",
      responses: { 200: { description: "The rules.", schema: holdList } },
      async handle() {
        const nowMs = now();
        const inForce = holds.list().filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
        return { holds: inForce.map(describeHold) };
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/holds",
      operationId: "addHold",
      summary: "Hold a message, a destination, a sender, or everything",
      access: "write",
      body: newHold,
      responses: { 201: { description: "The rule is in force.", schema: holdAdded } },
      async handle({ body: { kind, value = "", reason = "", until }, request, reply }) {
        const rule: HoldRule = {
          kind,
          value,
          reason,
          createdAtMs: now(),
          ...(until === undefined ? {} : { untilMs: Date.parse(until) }),
        };
        await ask(holds.add([rule]));
        const parked = await ask(holdCovered(redis, holds));
        logEvent(log, {
          event: "admin.hold",
          ...actorOf(request),
          hold: holdRuleId(rule),
          reason,
          until,
          parked,
        });
        reply.code(201);
        // The store sets the time of creation.
        const kept = holds.list().find((each) => holdRuleId(each) === holdRuleId(rule)) ?? rule;
        return { hold: describeHold(kept), parked };
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/v1/holds/{id}",
      operationId: "removeHold",
      summary: "End a hold; messages that no other rule holds are due at once",
      access: "write",
      params: holdParams,
      responses: { 200: { description: "The rule is gone.", schema: holdRemoved } },
      async handle({ params: { id }, request }) {
        const removed = await ask(holds.remove([id]));
        if (removed === 0) throw new Problem(404, `There is no hold ${id}.`);
        const report = await ask(releaseUncovered(redis, holds));
        logEvent(log, { event: "admin.unhold", ...actorOf(request), hold: id, ...report });
        return report;
      },
    }),
  ];
}

function describeHold(rule: HoldRule): HoldView {
  const { kind, value, reason, createdAtMs, untilMs } = rule;
  return {
    id: holdRuleId(rule),
    kind,
    value,
    reason,
    createdAt: new Date(createdAtMs).toISOString(),
    until: untilMs === undefined ? null : new Date(untilMs).toISOString(),
  };
}
