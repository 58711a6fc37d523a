/**
 * Hosts of the lab as network namespaces: a client, the gateway between everything, a protected server, two internet
 * servers and a name server, with documentation addresses. Owns the namespaces and every process in them; down() ends both.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { type Ended, run, unlessInstalled, unlessRoot } from "../programs.ts";

export type HostName = "client" | "gateway" | "protected" | "internet1" | "internet2" | "dns";

/** RFC 5737 and RFC 3849. The gateway has .1 and ::1 of each network. */
export const addresses = {
  client: { ipv4: "198.51.100.10", ipv6: "2001:db8:51::10" },
  protected: { ipv4: "203.0.113.25", ipv6: "2001:db8:113::25" },
  internet1: { ipv4: "192.0.2.25", ipv6: "2001:db8:2::25" },
  internet2: { ipv4: "192.0.2.26", ipv6: "2001:db8:2::26" },
  dns: { ipv4: "192.0.2.53", ipv6: "2001:db8:2::53" },
} as const;

export interface LabHost {
  /** For `ip netns exec`. */
  namespace: string;
  /** The words to put before a command that is to run on this host. */
  prefix: string[];
  run(program: string, ...args: string[]): Promise<Ended>;
  spawn(program: string, ...args: string[]): ChildProcess;
}

export interface LabNetwork {
  hosts: Record<HostName, LabHost>;
  down(): Promise<void>;
}

/** @returns `false`, or why the lab cannot be built here; as node:test's `skip` takes it */
export function unlessNamespaces(): false | string {
  const missing = unlessRoot() || unlessInstalled("ip", "nft", "sysctl");
  if (missing) return missing;
  try {
    execFileSync("ip", ["netns", "add", "postern-probe"], { stdio: "ignore", env: { PATH: searchPath } });
    execFileSync("ip", ["netns", "del", "postern-probe"], { stdio: "ignore", env: { PATH: searchPath } });
    return false;
  } catch {
    return "network namespaces are not permitted here";
  }
}

const searchPath = "/usr/sbin:/sbin:/usr/bin:/bin";

/** The first parts of each host's addresses; the gateway has .1 and ::1 on the line to each. */
const networkOf = {
  client: { ipv4: "198.51.100", ipv6: "2001:db8:51" },
  protected: { ipv4: "203.0.113", ipv6: "2001:db8:113" },
  internet1: { ipv4: "192.0.2", ipv6: "2001:db8:2" },
  internet2: { ipv4: "192.0.2", ipv6: "2001:db8:2" },
  dns: { ipv4: "192.0.2", ipv6: "2001:db8:2" },
} as const;

export function buildNetwork(): LabNetwork {
  const tag = `postern-${process.pid}-${Math.floor(Math.random() * 46_656).toString(36)}`;
  const namespaceOf = (name: HostName): string => `${tag}-${name}`;
  const names: HostName[] = ["client", "gateway", "protected", "internet1", "internet2", "dns"];
  const hosts = Object.fromEntries(names.map((name) => [name, labHost(namespaceOf(name))])) as Record<
    HostName,
    LabHost
  >;
  const down = async (): Promise<void> => {
    for (const name of names) await removeNamespace(namespaceOf(name));
  };
  try {
    execFileSync("sh", ["-euc", buildScript(namespaceOf, names)], {
      stdio: "pipe",
      env: { PATH: searchPath },
    });
  } catch (error) {
    void down();
    throw new Error(`the lab could not be built: ${(error as { stderr?: Buffer }).stderr}`);
  }
  return { hosts, down };
}

function buildScript(namespaceOf: (name: HostName) => string, names: HostName[]): string {
  const gateway = namespaceOf("gateway");
  const lines = names.flatMap((name) => [
    `ip netns add ${namespaceOf(name)}`,
    `ip -n ${namespaceOf(name)} link set lo up`,
    // No waiting for duplicate address detection.
    `ip netns exec ${namespaceOf(name)} sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0`,
  ]);
  lines.push(`ip netns exec ${gateway} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`);
  // A line from the gateway to each host. No bridge: where br_netfilter is loaded it would run the rules too early.
  for (const host of Object.keys(networkOf) as (keyof typeof networkOf)[]) {
    const { ipv4, ipv6 } = addresses[host];
    const [ours4, ours6] = [`${networkOf[host].ipv4}.1`, `${networkOf[host].ipv6}::1`];
    const namespace = namespaceOf(host);
    lines.push(
      `ip -n ${gateway} link add to-${host} type veth peer name eth0 netns ${namespace}`,
      `ip -n ${gateway} addr add ${ours4} peer ${ipv4} dev to-${host}`,
      `ip -n ${gateway} addr add ${ours6}/128 dev to-${host} nodad`,
      `ip -n ${gateway} link set to-${host} up`,
      `ip -n ${gateway} route add ${ipv6}/128 dev to-${host}`,
      `ip -n ${namespace} addr add ${ipv4} peer ${ours4} dev eth0`,
      `ip -n ${namespace} addr add ${ipv6}/128 dev eth0 nodad`,
      `ip -n ${namespace} link set eth0 up`,
      `ip -n ${namespace} route add default via ${ours4} dev eth0 onlink`,
      `ip -n ${namespace} route add default via ${ours6} dev eth0 onlink`,
    );
  }
  // Programs on the hosts find the lab's name server: ip netns exec lays this file over /etc/resolv.conf.
  for (const name of names) {
    lines.push(
      `mkdir -p /etc/netns/${namespaceOf(name)}`,
      `echo nameserver ${addresses.dns.ipv4} > /etc/netns/${namespaceOf(name)}/resolv.conf`,
    );
  }
  return lines.join("\n");
}

function labHost(namespace: string): LabHost {
  const prefix = ["ip", "netns", "exec", namespace];
  const [ip = "ip", ...words] = prefix;
  return {
    namespace,
    prefix,
    run: (program, ...args) => run(ip, [...words, program, ...args]),
    spawn: (program, ...args) =>
      spawn(ip, [...words, program, ...args], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, PATH: `${process.env.PATH}:${searchPath}` },
      }),
  };
}

/** Whatever still runs in the namespace is the lab's: it ends with it. */
async function removeNamespace(namespace: string): Promise<void> {
  const { output } = await run("ip", ["netns", "pids", namespace]);
  for (const pid of output.split("\n").map(Number)) {
    if (pid > 1) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
  }
  await run("ip", ["netns", "del", namespace]);
  await run("rm", ["-rf", `/etc/netns/${namespace}`]);
}
