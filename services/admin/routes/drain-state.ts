/** How far a host is that is taken out of service. Pure. */
import type { ServiceAnnouncement } from "../../../shared/runtime/announcement.ts";
import type { Drain } from "../../../shared/runtime/drain.ts";

/** Messages by what they wait for. */
export interface LeftMail {
  waiting: number;
  active: number;
  deferred: number;
  held: number;
  dead: number;
}

/**
 * @param queues     jobs by queue; a notification that is to be made later waits, since nothing but time keeps it
 * @param announced  services, of which one may know of mail that is not in the queues yet: it waits, too
 */
export function leftMail(
  queues: readonly (LeftMail & { name: string })[],
  announced: readonly Pick<ServiceAnnouncement, "unscheduled">[],
): LeftMail {
  const unscheduled = announced.reduce((sum, each) => sum + (each.unscheduled ?? 0), 0);
  const left: LeftMail = { waiting: unscheduled, active: 0, deferred: 0, held: 0, dead: 0 };
  for (const { name, waiting, active, deferred, held, dead } of queues) {
    left.waiting += name === "bounce" ? waiting + deferred : waiting;
    left.active += active;
    left.deferred += name === "bounce" ? 0 : deferred;
    left.held += held;
    left.dead += dead;
  }
  return left;
}

export interface HostState {
  host: string;
  /** `drained`: it may be stopped. */
  state: "in-service" | "draining" | "drained";
  since: string | null;
  by: string | null;
  reason: string | null;
  /** Its ingress processes; `sessions` is null for one that does not know of it yet. */
  processes: { pid: number; sessions: number | null }[];
  /** Hosts that still take mail. */
  others: number;
}

/** The hosts with an ingress, and those that were taken out of service. */
export function hostStates(
  announced: readonly Pick<ServiceAnnouncement, "name" | "host" | "pid" | "draining">[],
  drains: ReadonlyMap<string, Drain>,
  mail: LeftMail,
): HostState[] {
  const ingress = announced.filter(({ name }) => name === "ingress");
  const hosts = [...new Set([...ingress.map(({ host }) => host), ...drains.keys()])].toSorted();
  const inService = new Set(ingress.map(({ host }) => host).filter((host) => !drains.has(host)));
  return hosts.map((host) => {
    const drain = drains.get(host);
    const processes = ingress
      .filter((each) => each.host === host)
      .map(({ pid, draining }) => ({ pid, sessions: draining?.sessions ?? null }));
    const others = inService.size - (inService.has(host) ? 1 : 0);
    const isQuiet = processes.every(({ sessions }) => sessions === 0);
    // Where others take mail, they deliver what is in the spool that they share.
    const isDelivered = others > 0 || mail.waiting + mail.active === 0;
    const state = drain === undefined ? "in-service" : isQuiet && isDelivered ? "drained" : "draining";
    return {
      host,
      state,
      since: drain === undefined ? null : new Date(drain.sinceMs).toISOString(),
      by: drain?.by ?? null,
      reason: drain?.reason ?? null,
      processes,
      others,
    };
  });
}
