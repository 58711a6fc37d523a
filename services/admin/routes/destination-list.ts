/** All destinations in one list: those with mail, those with connections, and the dead ones. Pure. */
import {
  addPhases,
  type PhaseCounts,
  type ProcessConnections,
} from "../../../shared/limits/connection-phases.ts";
import type { DeadHosts } from "../../../shared/limits/destination-facts.ts";

export interface ListedDestination {
  name: string;
  messages: number;
  held: number;
  oldestAt: string | null;
  connections: number;
  phases: PhaseCounts;
  dead: DeadHosts | undefined;
}

export interface DestinationSources {
  /** Queued mail by recipients' domain. */
  mail: readonly { key: string; messages: number; held: number; oldestAt: string }[];
  connections: readonly ProcessConnections[];
  dead: ReadonlyMap<string, readonly DeadHosts[]>;
}

/** The most mail first, then the most connections. */
export function listDestinations({ mail, connections, dead }: DestinationSources): ListedDestination[] {
  const phases = new Map<string, PhaseCounts[]>();
  for (const { destinations } of connections) {
    for (const [name, counts] of destinations) phases.set(name, [...(phases.get(name) ?? []), counts]);
  }
  const waiting = new Map(mail.map((row) => [row.key, row]));
  const names = new Set([...waiting.keys(), ...phases.keys(), ...dead.keys()]);
  const listed = [...names].map((name): ListedDestination => {
    const { messages = 0, held = 0, oldestAt = null } = waiting.get(name) ?? {};
    const counts = addPhases(phases.get(name) ?? []);
    const [first] = dead.get(name) ?? [];
    return {
      name,
      messages,
      held,
      oldestAt,
      connections: countConnections(counts),
      phases: counts,
      dead: first,
    };
  });
  return listed.sort(
    (a, b) => b.messages - a.messages || b.connections - a.connections || (a.name < b.name ? -1 : 1),
  );
}

/** A message that waits for a connection has none. */
export function countConnections({ waiting: _, ...connections }: PhaseCounts): number {
  return Object.values(connections).reduce((sum, count) => sum + count, 0);
}
