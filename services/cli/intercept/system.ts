/** The programs and files that interception talks to: nft, ip, /proc/sys. Owns nothing. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Family } from "./plan.ts";

const searchPath = "/usr/sbin:/sbin:/usr/bin:/bin";

/** @throws Error with the program's own first line of complaint */
function run(program: string, args: string[], input?: string): string {
  try {
    return execFileSync(program, args, {
      encoding: "utf8",
      stdio: ["pipe", "pipe", "pipe"],
      env: { PATH: searchPath },
      ...(input === undefined ? {} : { input }),
    });
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") {
      const name = program === "nft" ? "nftables" : "iproute2";
      throw new Error(`${program} is not installed: install Debian's package ${name}`);
    }
    throw new Error(`${program} ${args.join(" ")}: ${(stderr || message).trim().split("\n")[0]}`);
  }
}

export function nft(script: string): void {
  run("nft", ["-f", "-"], script);
}

/** The table as the kernel has it; undefined when it is not there. */
export function listTable(name: string): string | undefined {
  const tables = JSON.parse(run("nft", ["-j", "list", "tables"])) as {
    nftables: { table?: { family: string; name: string } }[];
  };
  const there = tables.nftables.some(({ table }) => table?.family === "inet" && table.name === name);
  return there ? run("nft", ["list", "table", "inet", name]) : undefined;
}

const familyFlag = { ip: "-4", ip6: "-6" } as const;

export interface RoutingRule {
  priority: number;
  fwmark?: string;
  table?: string;
}

export function listRules(family: Family): RoutingRule[] {
  const output = run("ip", [familyFlag[family], "-N", "-j", "rule", "show"]);
  return output.trim() === "" ? [] : (JSON.parse(output) as RoutingRule[]);
}

export function ipCommand(family: Family, ...args: string[]): void {
  run("ip", [familyFlag[family], ...args]);
}

/** Whether the table has a route; a table that was never used is none. */
export function hasRoutes(family: Family, table: number): boolean {
  try {
    return run("ip", [familyFlag[family], "route", "show", "table", String(table)]).trim() !== "";
  } catch {
    return false;
  }
}

const sysctlRoot = "/proc/sys/net";

/** @param name  `ipv4/conf/eth1/rp_filter` */
export function readSysctl(name: string): string | undefined {
  const file = join(sysctlRoot, name);
  return existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
}

export function writeSysctl(name: string, value: string): void {
  writeFileSync(join(sysctlRoot, name), `${value}\n`);
}

export function listInterfaces(): string[] {
  return readdirSync(join(sysctlRoot, "ipv4/conf")).filter((name) => name !== "default");
}

/** Changes with every boot, and with it the rules, routes and sysctls are gone. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
