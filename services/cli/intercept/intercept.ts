/**
 * `postern intercept up | down | show`: the kernel's part of transparent interception, put up and taken down again.
 * Owns one nftables table, a policy rule and a route for each address family, and the sysctls that it changed.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { type Family, type Plan, planInterception, routeTable, rulePriority, tableName } from "./plan.ts";
import { downScript, ruleset, upScript } from "./ruleset.ts";
import { changedSysctls, forgetSysctls, restoreSysctls, setSysctls } from "./sysctls.ts";
import {
  addRoute,
  addRule,
  deleteRoute,
  deleteRule,
  hasRoute,
  hasRule,
  listInterfaces,
  listTable,
  nft,
  requireNetAdmin,
} from "./system.ts";

export interface InterceptionStatus {
  isUp: boolean;
  /** What of it is missing, one line each, when only a part is up. */
  missing: string[];
  plan: Plan;
  wanted: string;
  table?: string;
  /** Changed by `up`: name, then the value that `down` puts back. */
  sysctls: Record<string, string>;
}

const families = ["ip", "ip6"] as const;

/**
 * Idempotent: a second `up` replaces the rules and keeps the sysctl values that the first one found. One that fails
 * leaves nothing behind, or what was up before.
 * @returns the plan, with warnings for the operator
 * @throws Error with one sentence for the operator
 */
export function interceptUp(config: Config): Plan {
  const plan = planInterception(config);
  requireNetAdmin();
  const wasUp = isAnythingUp();
  if (!wasUp) forgetSysctls();
  try {
    const warnings = [...plan.warnings, ...absentInterfaces(plan), ...setSysctls(plan)];
    for (const family of families) setRouting(family, plan.foreign.includes(family));
    nft(upScript(plan));
    return { ...plan, warnings };
  } catch (error) {
    if (!wasUp) tryToTakeDown();
    throw error;
  }
}

/**
 * Idempotent, and complete whatever the configuration has become since `up`: it does not ask it.
 * @throws Error with one sentence for the operator
 */
export function interceptDown(): void {
  requireNetAdmin();
  takeDown();
}

/** @throws Error with one sentence for the operator */
export function interceptStatus(config: Config): InterceptionStatus {
  const plan = planInterception(config);
  requireNetAdmin();
  const table = listTable();
  const missing = [
    ...(table === undefined ? [`table inet ${tableName}`] : []),
    ...plan.foreign
      .filter((family) => !hasRule(family))
      .map((family) => `the ${family} rule with priority ${rulePriority}`),
    ...plan.foreign
      .filter((family) => !hasRoute(family))
      .map((family) => `the ${family} route in table ${routeTable}`),
  ];
  return {
    isUp: missing.length === 0,
    missing,
    plan,
    wanted: ruleset(plan),
    ...(table === undefined ? {} : { table }),
    sysctls: changedSysctls(),
  };
}

function isAnythingUp(): boolean {
  return listTable() !== undefined || families.some((family) => hasRule(family) || hasRoute(family));
}

function setRouting(family: Family, isWanted: boolean): void {
  if (isWanted) {
    addRoute(family);
    if (!hasRule(family)) addRule(family);
  } else clearRouting(family);
}

function clearRouting(family: Family): void {
  while (hasRule(family)) deleteRule(family);
  if (hasRoute(family)) deleteRoute(family);
}

/** Every part is tried, so that one that fails does not keep the others up. @throws the first failure */
function takeDown(): void {
  const failures: unknown[] = [];
  const parts = [
    () => {
      if (listTable() !== undefined) nft(downScript());
    },
    ...families.map((family) => () => clearRouting(family)),
    restoreSysctls,
  ];
  for (const part of parts) {
    try {
      part();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** After a failure, which is told rather than those that follow from it. */
function tryToTakeDown(): void {
  try {
    takeDown();
  } catch {
    // `show` tells what is left.
  }
}

function absentInterfaces({ interfaces = [] }: Plan): string[] {
  const present = new Set(listInterfaces());
  return interfaces
    .filter((name) => !present.has(name))
    .map((name) => `there is no interface ${name} now; its sessions are intercepted once there is`);
}
