/**
 * Slots of the hosts that are dialled. One host may be the mail server of many domains, and bears so many connections for
 * all of them; when it refuses one because it has too many, it gets fewer for a while.
 */
import type { Limiter } from "../../limits/limiter.ts";
import { connectionsFor, type PriorityClass } from "../../limits/priority-class.ts";
import type { Remote } from "../../smtp/diagnose.ts";
import type { Diagnosis } from "../../smtp/diagnosis.ts";
import type { Destination, HostLimit } from "../next-hops/destination.ts";
import type { Session } from "../session/session.ts";

export interface HostSlotsDeps {
  limiter: Pick<Limiter, "takeSlot" | "reportFull">;
  hostLimitOf: (remote: Remote, destination: Destination) => HostLimit;
}

export interface HostSlot {
  readonly limit: HostLimit;
  /** Harmless when repeated. */
  release(): void;
}

export class HostSlots {
  readonly #deps: HostSlotsDeps;

  constructor(deps: HostSlotsDeps) {
    this.#deps = deps;
  }

  /** @returns the host's limit where it has all that it may have */
  async take(
    remote: Remote,
    destination: Destination,
    priorityClass: PriorityClass | undefined,
  ): Promise<HostSlot | HostLimit> {
    const limit = this.#deps.hostLimitOf(remote, destination);
    const { name, connections } = limit;
    if (name === destination.name) return { limit, release() {} };
    const share = connectionsFor(priorityClass, connections);
    const answer = await this.#deps.limiter.takeSlot({ destination: name, connections, share });
    if (answer.kind !== "slot") return limit;
    return { limit, release: () => answer.slot.release() };
  }

  /** The connection of this slot is in use until it is closed. */
  keepFor({ limit, release }: HostSlot, session: Session): void {
    session.countedAs = limit.name;
    session.connection.whenClosed(release);
  }

  /** Whether a failure says that the host has too many connections, which it may then have no more for a while. */
  async isFull({ limit }: HostSlot, diagnosis: Diagnosis): Promise<boolean> {
    if (!mayBeFull(diagnosis)) return false;
    return this.#deps.limiter.reportFull(limit.name, limit.connections);
  }
}

/**
 * Whether a new connection was refused for now as a whole: 421 before any recipient. Servers that have too many say so in
 * many words and statuses (4.3.2, 4.7.0, 4.7.1 and none); that they take other connections of ours shows what is meant.
 */
export function mayBeFull({ reply }: Pick<Diagnosis, "reply">): boolean {
  return reply?.code === 421 && ["CONNECT", "EHLO", "HELO", "MAIL"].includes(reply.command);
}
