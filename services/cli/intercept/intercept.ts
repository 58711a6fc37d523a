/**
 * `postern intercept up | down | show`: the kernel's part of transparent interception, put up and taken down again.
 * Owns one nftables table, a policy rule and a route table for each address family, and the sysctls that it changed,
 * whose former values stand in `intercept.json` in the data directory until `down` puts them back.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../../shared/config/schema.ts";
import {
  type Family,
  mark,
  type Plan,
  planInterception,
  routeTable,
  rulePriority,
  tableName,
} from "./plan.ts";
import { downScript, ruleset, upScript } from "./ruleset.ts";
import {
  bootId,
  hasRoutes,
  ipCommand,
  listInterfaces,
  listRules,
  listTable,
  nft,
  readSysctl,
  writeSysctl,
} from "./system.ts";

interface Saved {
  bootId: string;
  /** Names under /proc/sys/net with the values that `up` found. */
  sysctls: Record<string, string>;
}

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

/** Idempotent: a second `up` replaces the rules and keeps the sysctl values that the first one found. */
export function interceptUp(config: Config): Plan {
  const plan = planInterception(config);
  saveSysctls(config, plan);
  for (const family of tproxyFamilies(plan)) {
    if (!hasRule(family)) {
      ipCommand(
        family,
        "rule",
        "add",
        "fwmark",
        `${mark}/0xffff`,
        "lookup",
        String(routeTable),
        "priority",
        String(rulePriority),
      );
    }
    ipCommand(family, "route", "replace", "local", "default", "dev", "lo", "table", String(routeTable));
  }
  nft(upScript(plan));
  return plan;
}

/** Idempotent, and complete whatever the configuration has become since `up`. */
export function interceptDown(config: Config): void {
  if (listTable(tableName) !== undefined) nft(downScript());
  for (const family of ["ip", "ip6"] as const) {
    while (hasRule(family)) ipCommand(family, "rule", "del", "priority", String(rulePriority));
    if (hasRoutes(family, routeTable)) ipCommand(family, "route", "flush", "table", String(routeTable));
  }
  const saved = readSaved(config);
  for (const [name, value] of Object.entries(saved?.sysctls ?? {})) {
    // The interface may be gone by now.
    if (readSysctl(name) !== undefined) writeSysctl(name, value);
  }
  rmSync(savedFile(config), { force: true });
}

export function interceptStatus(config: Config): InterceptionStatus {
  const plan = planInterception(config);
  const table = listTable(tableName);
  const families = tproxyFamilies(plan);
  const missing = [
    ...(table === undefined ? [`table inet ${tableName}`] : []),
    ...families
      .filter((family) => !hasRule(family))
      .map((family) => `the ${family} rule with priority ${rulePriority}`),
    ...families
      .filter((family) => !hasRoutes(family, routeTable))
      .map((family) => `the ${family} route in table ${routeTable}`),
  ];
  return {
    isUp: missing.length === 0,
    missing,
    plan,
    wanted: ruleset(plan),
    ...(table === undefined ? {} : { table }),
    sysctls: readSaved(config)?.sysctls ?? {},
  };
}

function tproxyFamilies(plan: Plan): Family[] {
  return plan.targets.filter(({ how }) => how === "tproxy").map(({ family }) => family);
}

function hasRule(family: Family): boolean {
  return listRules(family).some(
    ({ priority, fwmark }) => priority === rulePriority && Number(fwmark) === mark,
  );
}

/**
 * A gateway forwards; and strict reverse path filtering (rp_filter 1) would throw away the far server's replies to a
 * connection that has the client's address, wherever routes are not symmetric. Loose (2) still refuses unroutable sources.
 */
function wantedSysctls(plan: Plan): Record<string, string> {
  const wanted: Record<string, string> = {};
  for (const { family } of plan.targets) {
    wanted[family === "ip" ? "ipv4/ip_forward" : "ipv6/conf/all/forwarding"] = "1";
  }
  for (const name of listInterfaces()) {
    const filter = `ipv4/conf/${name}/rp_filter`;
    if (readSysctl(filter) === "1") wanted[filter] = "2";
  }
  return wanted;
}

/** The former values are on disk before the first one changes, so that `down` can always put them back. */
function saveSysctls(config: Config, plan: Plan): void {
  const saved = readSaved(config) ?? { bootId: bootId(), sysctls: {} };
  const changes = Object.entries(wantedSysctls(plan)).filter(([name, value]) => {
    const found = readSysctl(name);
    if (found === undefined || found === value) return false;
    saved.sysctls[name] ??= found;
    return true;
  });
  mkdirSync(config.data, { recursive: true });
  const file = savedFile(config);
  writeFileSync(`${file}.new`, `${JSON.stringify(saved, null, 2)}\n`);
  renameSync(`${file}.new`, file);
  for (const [name, value] of changes) writeSysctl(name, value);
}

function readSaved(config: Config): Saved | undefined {
  if (!existsSync(savedFile(config))) return undefined;
  const saved = JSON.parse(readFileSync(savedFile(config), "utf8")) as Saved;
  return saved.bootId === bootId() ? saved : undefined;
}

function savedFile(config: Config): string {
  return join(config.data, "intercept.json");
}
