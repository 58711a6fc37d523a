/**
 * What a running service takes from a new configuration. Keys that need a restart keep the values that the service runs
 * with, so that its configuration is what it does; they are named. Pure.
 */
import type { Config, ListenerConfig } from "./schema.ts";
import { needsRestart, type Service } from "./takes-effect.ts";

export interface TakeOver {
  /** The new configuration, as far as this service can follow it. */
  config: Config;
  /** Keys that have changed and take effect now: `limits.message`, `relay.routes`. */
  changed: string[];
  /** Keys that have changed and take effect when the service is started again: `listeners[].port (submission)`. */
  restart: string[];
}

export function takeOver(running: Config, next: Config, service: Service): TakeOver {
  const listeners = takeListeners(running.listeners, next.listeners, service);
  const result: TakeOver = {
    config: { ...next, listeners: listeners.config },
    changed: listeners.changed,
    restart: listeners.restart,
  };
  const sections = new Set([...Object.keys(running), ...Object.keys(next)]) as Set<keyof Config>;
  sections.delete("listeners");
  for (const section of sections) takeSection(section, running, next, service, result);
  return result;
}

function takeSection(
  section: keyof Config,
  running: Config,
  next: Config,
  service: Service,
  result: TakeOver,
): void {
  const keys = changedKeys(running[section], next[section], section);
  const waiting = keys.filter((key) => needsRestart(key, service));
  result.restart.push(...waiting);
  result.changed.push(...keys.filter((key) => !needsRestart(key, service)));
  if (waiting.length === 0) return;
  const config = result.config as Record<string, unknown>;
  // A section that comes or goes, such as `redis`, does so as a whole.
  if (waiting.length === keys.length || running[section] === undefined) config[section] = running[section];
  else config[section] = keepValues(running[section], next[section], section, service);
}

/** The new section with the running values of the keys that need a restart. */
function keepValues(running: unknown, next: unknown, path: string, service: Service): unknown {
  if (needsRestart(path, service)) return running;
  if (!isMapping(next)) return next;
  const kept: Record<string, unknown> = {};
  const before = isMapping(running) ? running : {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(next)])) {
    const value = keepValues(before[key], next[key], `${path}.${key}`, service);
    if (value !== undefined) kept[key] = value;
  }
  return kept;
}

/** By their names: an entry that moved is the same listener. */
function takeListeners(
  running: readonly ListenerConfig[],
  next: readonly ListenerConfig[],
  service: Service,
): { config: ListenerConfig[]; changed: string[]; restart: string[] } {
  const changed: string[] = [];
  const restart: string[] = [];
  if (!needsRestart("listeners[].port", service)) {
    if (!isSame(running, next)) changed.push("listeners");
    return { config: [...next], changed, restart };
  }
  const config = running.map((before): ListenerConfig => {
    const after = next.find(({ name }) => name === before.name);
    if (after === undefined) {
      restart.push(`listeners (${before.name} is gone)`);
      return before;
    }
    for (const key of changedKeys(before, after, "listeners[]")) {
      (needsRestart(key, service) ? restart : changed).push(`${key} (${before.name})`);
    }
    const { address, port, destination } = before;
    return { ...after, address, port, destination };
  });
  for (const { name } of next)
    if (!running.some((before) => before.name === name)) restart.push(`listeners (${name} is new)`);
  return { config, changed, restart };
}

/** The paths of the values that differ, as the table of effects has them; a list is one value. */
function changedKeys(before: unknown, after: unknown, path: string): string[] {
  if (isSame(before, after)) return [];
  const mappings = [before, after].filter(isMapping);
  if (mappings.length === 0 || [before, after].some((value) => value !== undefined && !isMapping(value)))
    return [path];
  const keys = new Set(mappings.flatMap((mapping) => Object.keys(mapping)));
  return [...keys].flatMap((key) =>
    changedKeys(
      isMapping(before) ? before[key] : undefined,
      isMapping(after) ? after[key] : undefined,
      `${path}.${key}`,
    ),
  );
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** By their JSON: networks are objects with private fields, which no comparison sees. */
function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
