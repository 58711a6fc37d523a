/** Calls nft and ip, and reads and writes /proc, for interception. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Family, mark, markMask, routeTable, rulePriority, tableName } from "./plan.ts";

const searchPath = "/usr/sbin:/sbin:/usr/bin:/bin";

/** linux/capability.h */
const capNetAdmin = 12n;

/** @throws Error with one sentence when this process may not configure the network */
export function requireNetAdmin(): void {
  if (process.platform !== "linux")
    throw new Error(`interception needs Linux, and this is ${process.platform}`);
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  if (((BigInt(`0x${effective}`) >> capNetAdmin) & 1n) === 0n) {
    throw new Error("interception needs the capability CAP_NET_ADMIN: run it as root");
  }
}

/** @throws Error with the first line of the program's error output */
function run(program: "nft" | "ip", args: string[], input?: string): string {
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

/** Our table as nft lists it. @returns `undefined` when it does not exist */
export function listTable(): string | undefined {
  const tables = JSON.parse(run("nft", ["-j", "list", "tables"])) as {
    nftables: { table?: { family: string; name: string } }[];
  };
  const isThere = tables.nftables.some(({ table }) => table?.family === "inet" && table.name === tableName);
  return isThere ? run("nft", ["list", "table", "inet", tableName]) : undefined;
}

const familyFlag = { ip: "-4", ip6: "-6" } as const;

function ip(family: Family, ...args: string[]): string {
  return run("ip", [familyFlag[family], ...args]);
}

/** All attributes of our rule: by priority or mark alone, `del` could delete the rule of others. */
const rule = [
  ...["fwmark", `0x${mark.toString(16)}/0x${markMask.toString(16)}`],
  ...["lookup", String(routeTable), "priority", String(rulePriority)],
];

export function hasRule(family: Family): boolean {
  const output = ip(family, "-N", "-j", "rule", "show");
  const rules = output.trim() === "" ? [] : JSON.parse(output);
  return (rules as { priority: number; fwmark?: string; table?: string }[]).some(
    ({ priority, fwmark, table }) =>
      priority === rulePriority && Number(fwmark) === mark && Number(table) === routeTable,
  );
}

export function addRule(family: Family): void {
  ip(family, "rule", "add", ...rule);
}

export function deleteRule(family: Family): void {
  ip(family, "rule", "del", ...rule);
}

/** Delivers every packet with our mark to this host. */
const route = ["local", "default", "dev", "lo", "table", String(routeTable)];

export function hasRoute(family: Family): boolean {
  try {
    return /^local default dev lo\b/m.test(ip(family, "route", "show", "table", String(routeTable)));
  } catch {
    // `ip` fails for a table that was never used.
    return false;
  }
}

export function addRoute(family: Family): void {
  ip(family, "route", "replace", ...route);
}

export function deleteRoute(family: Family): void {
  ip(family, "route", "del", ...route);
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

/** With `all`, which stands for every interface. */
export function listInterfaces(): string[] {
  return readdirSync(join(sysctlRoot, "ipv4/conf")).filter((name) => name !== "default");
}

/** A new id at each boot, which also clears rules, routes and sysctls. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** The inode number of this process' network namespace. */
export function networkNamespace(): string {
  return readlinkSync("/proc/self/ns/net").replace(/\D/g, "");
}
