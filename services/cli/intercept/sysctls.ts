/**
 * The sysctls that interception changes, and what they were. Owns one file under /run for each network namespace: what
 * it tells is as short-lived as the kernel's state, and it does not depend on the configuration, which may have changed.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plan } from "./plan.ts";
import { bootId, listInterfaces, networkNamespace, readSysctl, writeSysctl } from "./system.ts";

const directory = "/run/postern";

/** One that `up` changed, or that the kernel will change when it is put back. Names are those under /proc/sys/net. */
interface Changed {
  found: string;
  /** What it was when `up` had done its work; somebody else's later change is theirs. Absent: `up` did not get so far. */
  left?: string;
}

interface Saved {
  bootId: string;
  changed: Record<string, Changed>;
}

/**
 * A gateway forwards; and strict reverse path filtering (rp_filter 1) would throw away the far server's replies to a
 * connection that has the client's address, wherever routes are not symmetric. Loose (2) still refuses unroutable sources.
 * In the order to set them.
 */
function wantedSysctls(plan: Plan, interfaces: string[]): [name: string, value: string][] {
  const wanted: [string, string][] = [];
  const all = new Set([...plan.targets.map(({ family }) => family), ...plan.foreign]);
  if (all.has("ip")) wanted.push(["ipv4/ip_forward", "1"]);
  if (all.has("ip6") && readSysctl("ipv6/conf/all/forwarding") === "0") {
    // A host that becomes a router stops taking its own routes from router advertisements, unless told 2.
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

/** What the kernel changes by itself along with forwarding (devinet_sysctl_forward, addrconf_fixup_forwarding). */
function followingSysctls(interfaces: string[]): string[] {
  return [
    "ipv4/conf/all/accept_redirects",
    "ipv4/conf/default/forwarding",
    "ipv6/conf/default/forwarding",
    ...interfaces.flatMap((name) => [`ipv4/conf/${name}/forwarding`, `ipv6/conf/${name}/forwarding`]),
  ];
}

/**
 * Sets what the plan needs. The former values are on disk before the first one changes.
 * @returns what could not be set, one line each
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
      // In a container /proc/sys is read-only; the host's administrator can set it.
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

/** Puts back what `up` found, except what somebody else has changed since. The file goes. */
export function restoreSysctls(): void {
  const { changed } = readSaved();
  // Backwards: what was set last goes first; then once more, for what the kernel changes along with it.
  const names = Object.keys(changed).reverse();
  const ours = names.filter((name) => {
    const change = changed[name];
    return change !== undefined && (change.left === undefined || readSysctl(name) === change.left);
  });
  for (let round = 1; round <= 2; round++) {
    for (const name of ours) {
      const found = changed[name]?.found;
      const now = readSysctl(name);
      // The interface may be gone by now.
      if (found === undefined || now === undefined || now === found) continue;
      writeSysctl(name, found);
    }
  }
  rmSync(savedFile(), { force: true });
}

/** Forgets what an earlier interception left: of a namespace that is gone and whose number this one has. */
export function forgetSysctls(): void {
  rmSync(savedFile(), { force: true });
}

/** What `restoreSysctls` would put back, by name. */
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
