/** The nftables rules of a plan, as text for `nft -f`: one table, which is replaced as a whole. Pure. */
import { mark, markMask, type Plan, type Target, tableName } from "./plan.ts";

/** Adding the table first lets the deletion succeed whether or not it exists; nft applies the whole file atomically. */
export function upScript(plan: Plan): string {
  return `table inet ${tableName} { }\ndelete table inet ${tableName}\n${ruleset(plan)}`;
}

export function downScript(): string {
  return `table inet ${tableName} { }\ndelete table inet ${tableName}\n`;
}

export function ruleset(plan: Plan): string {
  const lines = [
    `table inet ${tableName} {`,
    ...chain("divert", "type filter hook prerouting priority mangle; policy accept;", divertRules(plan)),
    ...chain("lead", "type nat hook prerouting priority dstnat; policy accept;", redirectRules(plan)),
    "}",
  ];
  return `${lines.join("\n")}\n`;
}

function chain(name: string, head: string, rules: string[]): string[] {
  return rules.length === 0
    ? []
    : [`  chain ${name} {`, `    ${head}`, ...rules.map((rule) => `    ${rule}`), "  }"];
}

/**
 * Only packets from outside pass this hook: the gateway's own connections start behind it.
 *
 * The tproxy rule matches SYNs only: if it matched every packet, a connection that went directly to its server while no
 * ingress was listening would be reset as soon as one listens again. It precedes the socket rule, because tproxy handles a
 * SYN that reuses the ports of a connection in TIME_WAIT. A SYN without a listener passes the tproxy statement: on to the
 * server with `fail: open`, to the last rule with `fail: closed`.
 *
 * The socket rule matches all further packets of our connections: those of intercepted clients, and replies to sessions
 * with a client's source address, on any interface. It excludes the listener's port: the listening socket has a wildcard
 * address, and would match all connections to that port of other hosts.
 */
function divertRules(plan: Plan): string[] {
  if (plan.foreign.length === 0) return [];
  const targets = plan.targets.filter(({ how }) => how === "tproxy");
  const listening = [...new Set(targets.map(({ port }) => port))];
  const notListening = listening.length === 0 ? "" : `tcp dport != { ${listening.join(", ")} } `;
  const syn = "tcp flags & (fin | syn | rst | ack) == syn";
  const ports = `tcp dport { ${plan.ports.join(", ")} }`;
  return [
    ...targets.map(
      (target) =>
        `${from(plan)} ${protocol(target)} ${ports} ${syn} tproxy ${target.family} to ${socketOf(target)} ${setMark} accept`,
    ),
    `meta l4proto tcp ${notListening}socket transparent 1 ${setMark} accept`,
    ...(plan.fail === "closed"
      ? targets.map((target) => `${from(plan)} ${protocol(target)} ${ports} ${syn} reject with tcp reset`)
      : []),
  ];
}

const hex = (bits: number): string => `0x${bits.toString(16).padStart(8, "0")}`;
/** Changes our 16 bits only: the upper ones may belong to policy routing of others. */
const setMark = `meta mark set meta mark & ${hex(0xffff_ffff - markMask)} | ${hex(mark)}`;

function redirectRules(plan: Plan): string[] {
  return plan.targets
    .filter(({ how }) => how === "redirect")
    .map(
      (target) =>
        `${from(plan)} ${protocol(target)} tcp dport { ${plan.ports.join(", ")} } redirect to :${target.port}`,
    );
}

function from(plan: Plan): string {
  return plan.interfaces === undefined
    ? 'iifname != "lo"'
    : `iifname { ${plan.interfaces.map((name) => JSON.stringify(name)).join(", ")} }`;
}

function protocol(target: Target): string {
  return `meta nfproto ${target.family === "ip" ? "ipv4" : "ipv6"}`;
}

function socketOf(target: Target): string {
  if (target.address === undefined) return `:${target.port}`;
  return target.family === "ip6" ? `[${target.address}]:${target.port}` : `${target.address}:${target.port}`;
}
