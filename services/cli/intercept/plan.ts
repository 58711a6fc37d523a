/** What interception needs of the kernel, decided from the configuration alone. Pure. */
import type { Config, ListenerConfig } from "../../../shared/config/schema.ts";

/** Marks packets for local delivery; "po". Others' marks are left alone: only these 16 bits are looked at. */
export const mark = 0x706f;
export const routeTable = 28_783;
export const rulePriority = 28_783;
export const tableName = "postern";

export type Family = "ip" | "ip6";

export interface Target {
  family: Family;
  how: "tproxy" | "redirect";
  listener: string;
  /** Absent: any. */
  address?: string;
  port: number;
}

export interface Plan {
  targets: Target[];
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
  const targets = (["ip", "ip6"] as const).flatMap((family) => targetFor(family, config.listeners));
  if (targets.length === 0) {
    throw new Error("no listener has destination: tproxy or redirect, so there is nothing to intercept for");
  }
  const warnings: string[] = [];
  if (intercept.fail === "open" && targets.some(({ how }) => how === "redirect")) {
    warnings.push("a redirect listener cannot fail open: while no ingress listens, its sessions are refused");
  }
  for (const family of ["ip", "ip6"] as const) {
    if (!targets.some((target) => target.family === family)) {
      warnings.push(
        `no listener takes ${family === "ip" ? "IPv4" : "IPv6"}, so its sessions are not intercepted`,
      );
    }
  }
  return {
    targets,
    ports: [...new Set([...intercept.ports, ...intercept.pass_ports])].sort((a, b) => a - b),
    ...(intercept.interfaces ? { interfaces: intercept.interfaces } : {}),
    fail: intercept.fail,
    warnings,
  };
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
