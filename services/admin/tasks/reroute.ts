/**
 * Reroutes messages: the spool records the next hop of each recipient first, then the jobs get it. In this order a loss of
 * Redis in between forgets nothing, and workers follow the spool.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { parseVia } from "../../../shared/config/values.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import type { ChangeOptions, ChangeReport, JobSelection } from "../../../shared/queue/operator/inspector.ts";
import { type InspectedJob, jobIdOf } from "../../../shared/queue/operator/rows.ts";
import { compileRouting, routeOf } from "../../../shared/routing/classify.ts";
import { type RouteSummary, summarizeRoute } from "../../../shared/routing/route.ts";
import { type Settlement, SpoolCorrupt } from "../../../shared/spool/spool.ts";
import type { TaskDeps } from "./task-deps.ts";

/** By the routing table again. */
export const originalRoute = "original";

/**
 * @param text  `mx`, the name of a relay host, a host with its port or without (25), or `original`
 * @returns as the spool records it; `undefined` when it names nothing
 */
export function readVia(text: string, { relay }: Pick<Config, "relay">): string | undefined {
  const isNamed = (via: string) => parseVia(via, (name) => Object.hasOwn(relay.hosts, name)) !== undefined;
  if (text === originalRoute || isNamed(text)) return text;
  const host = /^[0-9a-f:]*:[0-9a-f:]*$/i.test(text) ? `[${text}]` : text;
  return /[.:]/.test(text) && isNamed(`${host}:25`) ? `${host}:25` : undefined;
}

export function rerouteMessages(
  deps: TaskDeps,
  selection: JobSelection,
  via: string,
  options: ChangeOptions,
): Promise<ChangeReport & { underWay: string[] }> {
  const { config, inspector, spool } = deps;
  const routing = compileRouting(config);
  const routeVia = (meta: MessageMeta, recipient: number): RouteSummary => {
    const { row, nextHop } = routeOf(routing, meta, recipient);
    const address = meta.envelope.recipients[recipient]?.address ?? "";
    const chosen = via === originalRoute ? undefined : routing.nextHopVia(via, address);
    return summarizeRoute({ row, nextHop: chosen ?? nextHop });
  };
  const record = async (jobs: InspectedJob[]): Promise<ReadonlyMap<string, RouteSummary>> => {
    const routes = new Map<string, RouteSummary>();
    const settlements: Settlement[] = [];
    for (const job of jobs) {
      const meta = await readEnvelope(deps, job);
      const recipients = meta?.parts[job.job.part];
      if (meta === undefined || recipients?.[0] === undefined) continue;
      const state = { kind: "pending", via: via === originalRoute ? "" : via } as const;
      settlements.push({ id: meta.id, recipients: [...recipients], state });
      routes.set(jobIdOf(job), routeVia(meta, recipients[0]));
    }
    if (settlements.length > 0) await spool.settle(settlements);
    return routes;
  };
  return inspector.reroute(selection, record, options);
}

/** @returns `undefined` when the spool does not have it, or it is damaged */
async function readEnvelope({ spool }: TaskDeps, { job }: InspectedJob): Promise<MessageMeta | undefined> {
  try {
    return await spool.readMeta(job.id, job.locator);
  } catch (error) {
    if (error instanceof SpoolCorrupt) return undefined;
    throw error;
  }
}
