/** What interception needs of the kernel, decided from the configuration alone. Pure. */
import type { Config, ListenerConfig } from "../../../shared/config/schema.ts";

/** Marks packets for local delivery; "po". Others' marks in the upper 16 bits are left as they are. */
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
  /** Absent: any. */
  address?: string;
  port: number;
}

export interface Plan {
  /** None: nothing is intercepted, only the replies to hidden sessions are led back. */
  targets: Target[];
  /**
   * Families with packets for addresses that are not the gateway's own: intercepted ones (tproxy), and replies to
   * sessions that left with a client's address (`hide`).
   */
  foreign: Family[];
  /** Intercepted TCP destination ports, the tunnelled ones too. */
  ports: number[];
  /** Absent: all but loopback. */
  interfaces?: string[];
  fail: "open" | "closed";
  /** What the operator should know, one line each. */
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
    return ["no listener has destination: tproxy or redirect: only replies to hidden sessions are led back"];
  }
  const warnings: string[] = [];
  if (fail === "open" && targets.some(({ how }) => how === "redirect")) {
    warnings.push("a redirect listener cannot fail open: while no ingress listens, its sessions are refused");
  }
  for (const family of families) {
    if (targets.some((target) => target.family === family)) continue;
    const name = family === "ip" ? "IPv4" : "IPv6";
    warnings.push(`no listener takes ${name}, so its sessions are not intercepted`);
  }
  return warnings;
}

/** The first listener of the kind that can take the family. */
function targetFor(family: Family, listeners: ListenerConfig[]): Target[] {
  for (const how of ["tproxy", "redirect"] as const) {
    for (const { name, address, port, destination } of listeners) {
      if (destination !== how || !takes(address, family)) continue;
      const isAny = address === "0.0.0.0" || address === "::";
      return [{ family, how, listener: name, port, ...(isAny ? {} : { address }) }];
    }
  }
  return [];
}

/** `::` takes both. */
function takes(address: string, family: Family): boolean {
  return address === "::" || address.includes(":") === (family === "ip6");
}
