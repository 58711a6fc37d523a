/** Plans the interception from the configuration: listeners, ports, families and warnings. Pure. */
import type { Config, ListenerConfig } from "../../../shared/config/schema.ts";

/** Marks packets for local delivery: "po" in the lower 16 bits. Marks of others in the upper 16 bits are kept. */
export const mark = 0x706f;
export const markMask = 0xffff;
export const routeTable = 28_783;
export const rulePriority = 28_783;
export const tableName = "postern";

export type Family = "ip" | "ip6";
const families = ["ip", "ip6"] as const;

export interface Target {
  family: Family;
  how: "tproxy" | "redirect";
  listener: string;
  /** Absent when the listener takes any address. */
  address?: string;
  port: number;
}

export interface Plan {
  /** Empty: nothing is intercepted, and only replies to sessions with `hide` are routed to this gateway. */
  targets: Target[];
  /**
   * Families with packets for addresses that are not the gateway's own: intercepted ones (tproxy), and replies to
   * sessions with a client's source address (`hide`).
   */
  foreign: Family[];
  /** Intercepted TCP destination ports, tunnelled ones included. */
  ports: number[];
  /** Absent: all interfaces but loopback. */
  interfaces?: string[];
  fail: "open" | "closed";
  /** For the operator, one line each. */
  warnings: string[];
}

/** @throws Error with one clear sentence when the configuration has nothing to intercept for */
export function planInterception(config: Config): Plan {
  const { intercept } = config;
  const targets = families.flatMap((family) => targetFor(family, config.listeners));
  const hides = config.outgoing.hide || config.protected.some(({ hide }) => hide);
  if (targets.length === 0 && !hides) {
    throw new Error("no listener has destination: tproxy or redirect, so there is nothing to intercept for");
  }
  return {
    targets,
    foreign: families.filter(
      (family) => hides || targets.some((target) => target.family === family && target.how === "tproxy"),
    ),
    ports: [...new Set([...intercept.ports, ...intercept.pass_ports])].sort((a, b) => a - b),
    ...(intercept.interfaces ? { interfaces: intercept.interfaces } : {}),
    fail: intercept.fail,
    warnings: warningsFor(targets, intercept.fail),
  };
}

function warningsFor(targets: Target[], fail: Plan["fail"]): string[] {
  if (targets.length === 0) {
    return [
      "no listener has destination: tproxy or redirect: only replies to sessions with hide are routed to this gateway",
    ];
  }
  const warnings: string[] = [];
  if (fail === "open" && targets.some(({ how }) => how === "redirect")) {
    warnings.push(
      "a redirect listener cannot fail open: its sessions are refused while no ingress is running",
    );
  }
  for (const family of families) {
    if (targets.some((target) => target.family === family)) continue;
    const name = family === "ip" ? "IPv4" : "IPv6";
    warnings.push(`no listener takes ${name}, so its sessions are not intercepted`);
  }
  return warnings;
}

/** The first tproxy listener that accepts the family, else the first such redirect listener. */
function targetFor(family: Family, listeners: ListenerConfig[]): Target[] {
  for (const how of ["tproxy", "redirect"] as const) {
    for (const { name, address, port, destination } of listeners) {
      if (destination !== how || !accepts(address, family)) continue;
      const isAny = address === "0.0.0.0" || address === "::";
      return [{ family, how, listener: name, port, ...(isAny ? {} : { address }) }];
    }
  }
  return [];
}

/** `::` accepts IPv4 too. */
function accepts(address: string, family: Family): boolean {
  return address === "::" || address.includes(":") === (family === "ip6");
}
