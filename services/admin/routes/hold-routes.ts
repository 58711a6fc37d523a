/** Routes for hold rules, which hold the mail in the queues and mail that comes later. */
import { holdCovered, releaseUncovered } from "../../../shared/queue/holds/enforcement.ts";
import { type HoldRule, holdRuleId } from "../../../shared/queue/holds/rules.ts";
import { holdRuleOf } from "../../../shared/queue/operator/inspector.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import { isInSpool } from "../tasks/hold.ts";
import { actorOf } from "./actor.ts";
import { untilOf } from "./change-routes.ts";
import { type AdminDependencies, ask, describeStanding } from "./dependencies.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import {
  type HoldView,
  holdAdded,
  holdList,
  holdParams,
  holdRemoved,
  newHold,
  releaseQuery,
} from "./schemas.ts";

export function holdRoutes(deps: AdminDependencies): Route[] {
  const { holds, inspector, shards, log, now } = deps;
  const describe = async (rules: readonly HoldRule[]): Promise<HoldView[]> => {
    const waiting = await ask(inspector.heldBy(rules));
    return rules.map((rule, index) => describeHold(rule, waiting?.[index] ?? null));
  };
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
        return { holds: await describe(inForce) };
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
      async handle({ body: { kind, value = "", reason, until, replace }, request, reply }) {
        const named = { kind, value };
        await ask(refuseUnnamed(deps, named));
        const standing = holds.find(named);
        if (standing !== undefined && !replace) throw new Problem(409, describeStanding(standing));
        const { by } = actorOf(request);
        const terms = { ...(reason === undefined ? {} : { reason }), ...untilOf(until), by };
        const rule = { ...holdRuleOf(named, terms, standing), createdAtMs: standing?.createdAtMs ?? now() };
        await ask(holds.add([rule]));
        const parked = await ask(holdCovered(shards, holds));
        logEvent(log, {
          event: "admin.hold",
          ...actorOf(request),
          hold: holdRuleId(rule),
          reason: rule.reason,
          until: untilText(rule) ?? undefined,
          parked,
        });
        reply.code(201);
        // The store sets the time of creation.
        const [hold] = await describe([holds.find(rule) ?? rule]);
        return { hold, parked };
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/v1/holds/{id}",
      operationId: "removeHold",
      summary: "End a hold; messages that no other rule holds are due at once",
      access: "write",
      params: holdParams,
      query: releaseQuery,
      responses: { 200: { description: "The rule is gone.", schema: holdRemoved } },
      async handle({ params: { id }, query: { reason }, request }) {
        const removed = await ask(holds.remove([id]));
        if (removed === 0) throw new Problem(404, `There is no hold ${id}.`);
        const report = await ask(releaseUncovered(shards, holds));
        logEvent(log, { event: "admin.unhold", ...actorOf(request), hold: id, reason, ...report });
        return report;
      },
    }),
  ];
}

/** @throws Problem 404, 400 when the rule names nothing that could ever be held */
async function refuseUnnamed(
  { inspector, spool, config }: AdminDependencies,
  { kind, value }: Pick<HoldRule, "kind" | "value">,
): Promise<void> {
  if (kind === "message") {
    if ((await inspector.find(value)).length > 0 || (await isInSpool({ spool }, value))) return;
    throw new Problem(404, `No message has the id ${value}.`);
  }
  if (kind !== "destination" || /[.:[]/.test(value)) return;
  const names = [
    ...Object.keys(config.relay.hosts),
    ...config.protected.flatMap(({ domains, servers }) => [...domains, ...servers.map(({ host }) => host)]),
  ];
  if (names.some((name) => name.toLowerCase() === value.toLowerCase())) return;
  const detail = `'${value}' is neither a domain nor the name of a relay host`;
  throw new Problem(400, `body.value ${detail}`, { violations: [{ field: "body.value", detail }] });
}

function describeHold(rule: HoldRule, waiting: number | null): HoldView {
  const { kind, value, reason, by = null, createdAtMs } = rule;
  const since = new Date(createdAtMs).toISOString();
  return {
    id: holdRuleId(rule),
    kind,
    value,
    reason,
    by,
    since,
    until: untilText(rule),
    waiting,
    createdAt: since,
  };
}

function untilText({ untilMs }: Pick<HoldRule, "untilMs">): string | null {
  return untilMs === undefined ? null : new Date(untilMs).toISOString();
}
