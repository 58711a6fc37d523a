/**
 * Transparent interception in the kernel, set up and taken down by `postern intercept`. Owns one nftables table, a policy
 * rule and a route for each address family, and the sysctls that it changed.
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
  /** The pieces that are not in place, one line each. */
  missing: string[];
  plan: Plan;
  wanted: string;
  table?: string;
  /** The sysctls that `up` changed: name, then the value that `down` restores. */
  sysctls: Record<string, string>;
}

const families = ["ip", "ip6"] as const;

/**
 * Idempotent: a second `up` replaces the rules and keeps the sysctl values that the first one found. After a failure
 * nothing is left, or what was up before.
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
 * Idempotent. Does not depend on the configuration, which may have changed since `up`.
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

/** Tries every step, so that a failed one does not keep the others from being done. @throws Error the first failure */
function takeDown(): void {
  const failures: unknown[] = [];
  const steps = [
    () => {
      if (listTable() !== undefined) nft(downScript());
    },
    ...families.map((family) => () => clearRouting(family)),
    restoreSysctls,
  ];
  for (const step of steps) {
    try {
      step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Cleans up after a failure, which is reported in place of further ones. */
function tryToTakeDown(): void {
  try {
    takeDown();
  } catch {
    // `show` lists what is left.
  }
}

function absentInterfaces({ interfaces = [] }: Plan): string[] {
  const present = new Set(listInterfaces());
  return interfaces
    .filter((name) => !present.has(name))
    .map((name) => `there is no interface ${name} now; its sessions are intercepted once it exists`);
}
