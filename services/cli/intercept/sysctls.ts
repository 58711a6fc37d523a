/**
 * Sets and restores the sysctls that interception needs. Owns one file under /run for each network namespace, with the
 * former values: it lives as long as the state of the kernel, and is independent of the configuration.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plan } from "./plan.ts";
import { bootId, listInterfaces, networkNamespace, readSysctl, writeSysctl } from "./system.ts";

const directory = "/run/postern";

/** A sysctl that `up` changed, or that the kernel changes along with one. Names are paths under /proc/sys/net. */
interface Changed {
  found: string;
  /** The value after `up`: a later change by others is kept. Absent when `up` did not finish. */
  left?: string;
}

interface Saved {
  bootId: string;
  changed: Record<string, Changed>;
}

/**
 * The sysctls to set, in this order. A gateway forwards packets. Strict reverse path filtering (rp_filter 1) drops a remote
 * server's replies to the client's address where routes are not symmetric; loose filtering (2) still drops sources without
 * a route.
 */
function wantedSysctls(plan: Plan, interfaces: string[]): [name: string, value: string][] {
  const wanted: [string, string][] = [];
  const all = new Set([...plan.targets.map(({ family }) => family), ...plan.foreign]);
  if (all.has("ip")) wanted.push(["ipv4/ip_forward", "1"]);
  if (all.has("ip6") && readSysctl("ipv6/conf/all/forwarding") === "0") {
    // A router ignores router advertisements, and loses its own routes, unless accept_ra is 2.
    for (const name of interfaces) {
      const accept = `ipv6/conf/${name}/accept_ra`;
      if (readSysctl(accept) === "1") wanted.push([accept, "2"]);
    }
    wanted.push(["ipv6/conf/all/forwarding", "1"]);
  }
  for (const name of interfaces) {
    const filter = `ipv4/conf/${name}/rp_filter`;
    if (readSysctl(filter) === "1") wanted.push([filter, "2"]);
  }
  return wanted;
}

/** The sysctls that the kernel changes along with forwarding (devinet_sysctl_forward, addrconf_fixup_forwarding). */
function followingSysctls(interfaces: string[]): string[] {
  return [
    "ipv4/conf/all/accept_redirects",
    "ipv4/conf/default/forwarding",
    "ipv6/conf/default/forwarding",
    ...interfaces.flatMap((name) => [`ipv4/conf/${name}/forwarding`, `ipv6/conf/${name}/forwarding`]),
  ];
}

/**
 * Sets the sysctls that the plan needs. Their former values are on disk before the first one changes.
 * @returns a warning for each that could not be set
 */
export function setSysctls(plan: Plan): string[] {
  const interfaces = listInterfaces();
  const wanted = wantedSysctls(plan, interfaces).filter(([name, value]) => {
    const found = readSysctl(name);
    return found !== undefined && found !== value;
  });
  const saved = readSaved();
  const names = [
    ...wanted.map(([name]) => name),
    ...(wanted.length === 0 ? [] : followingSysctls(interfaces)),
  ];
  for (const name of names) {
    const found = readSysctl(name);
    if (found !== undefined) saved.changed[name] = { found: saved.changed[name]?.found ?? found };
  }
  writeSaved(saved);
  const warnings: string[] = [];
  for (const [name, value] of wanted) {
    try {
      writeSysctl(name, value);
    } catch (error) {
      // /proc/sys is read-only in a container; the administrator of the host can set it.
      const { code } = error as NodeJS.ErrnoException;
      const setting = `net.${name.replaceAll("/", ".")}=${value}`;
      warnings.push(`this process cannot set ${setting} (${code}): set it on the host, with sysctl -w`);
    }
  }
  for (const [name, change] of Object.entries(saved.changed)) {
    const left = readSysctl(name);
    if (left === undefined) delete saved.changed[name];
    else if (names.includes(name)) change.left = left;
  }
  writeSaved(saved);
  return warnings;
}

/** Restores the values that `up` found, except where others have changed them since, and removes the file. */
export function restoreSysctls(): void {
  const { changed } = readSaved();
  // In reverse order, and twice, since the kernel changes some sysctls along with others.
  const names = Object.keys(changed).reverse();
  const ours = names.filter((name) => {
    const change = changed[name];
    return change !== undefined && (change.left === undefined || readSysctl(name) === change.left);
  });
  for (let round = 1; round <= 2; round++) {
    for (const name of ours) {
      const found = changed[name]?.found;
      const now = readSysctl(name);
      // Without a value the interface is gone.
      if (found === undefined || now === undefined || now === found) continue;
      writeSysctl(name, found);
    }
  }
  rmSync(savedFile(), { force: true });
}

/** Discards the file of an earlier network namespace with the same number. */
export function forgetSysctls(): void {
  rmSync(savedFile(), { force: true });
}

/** The values that restoreSysctls() would restore, by name. */
export function changedSysctls(): Record<string, string> {
  const changed = Object.entries(readSaved().changed).filter(([, { found, left }]) => found !== left);
  return Object.fromEntries(changed.map(([name, { found }]) => [name, found]));
}

function readSaved(): Saved {
  const file = savedFile();
  const nothing = { bootId: bootId(), changed: {} };
  if (!existsSync(file)) return nothing;
  const saved = JSON.parse(readFileSync(file, "utf8")) as Saved;
  return saved.bootId === nothing.bootId ? saved : nothing;
}

function writeSaved(saved: Saved): void {
  const file = savedFile();
  if (Object.keys(saved.changed).length === 0) {
    rmSync(file, { force: true });
    return;
  }
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(saved, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

function savedFile(): string {
  return join(directory, `intercept-${networkNamespace()}.json`);
}
