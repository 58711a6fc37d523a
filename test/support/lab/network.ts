/**
 * The hosts of the lab as network namespaces with documentation addresses: a client, a protected server, two servers on the
 * Internet and a name server, and the gateway between them. Owns the namespaces, every process in them and a directory;
 * down() removes all of it, and so does any end of this process.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  /** The words before a command that run it on this host. */
  prefix: string[];
  run(program: string, ...args: string[]): Promise<Ended>;
  spawn(program: string, ...args: string[]): ChildProcess;
  /** Starts a server in the background, until the end of the lab. Resolves when it prints that it is ready. */
  serve(program: string, ...args: string[]): Promise<ChildProcess>;
}

export interface LabNetwork {
  hosts: Record<HostName, LabHost>;
  /** For files of the hosts; removed with the network. */
  directory: string;
  down(): Promise<void>;
}

/** For `skip` of node:test. @returns `false`, or why the lab cannot be built here */
export function unlessNamespaces(): false | string {
  const missing = unlessRoot() || unlessInstalled("ip", "nft", "sysctl");
  if (missing) return missing;
  try {
    const probe = `postern-${process.pid}-probe`;
    for (const action of ["add", "del"]) {
      execFileSync("ip", ["netns", action, probe], { stdio: "ignore", env: { PATH: searchPath } });
    }
    return false;
  } catch {
    return "network namespaces are not permitted here";
  }
}

const searchPath = "/usr/sbin:/sbin:/usr/bin:/bin";

/** The network prefix of each host; the gateway has .1 and ::1 on its link to each. */
const networkOf = {
  client: { ipv4: "198.51.100", ipv6: "2001:db8:51" },
  protected: { ipv4: "203.0.113", ipv6: "2001:db8:113" },
  internet1: { ipv4: "192.0.2", ipv6: "2001:db8:2" },
  internet2: { ipv4: "192.0.2", ipv6: "2001:db8:2" },
  dns: { ipv4: "192.0.2", ipv6: "2001:db8:2" },
} as const;

/** @param tag  the prefix of namespaces and directory; absent: a unique one */
export function buildNetwork(tag = uniqueTag()): LabNetwork {
  const namespaceOf = (name: HostName): string => `${tag}-${name}`;
  const names: HostName[] = ["client", "gateway", "protected", "internet1", "internet2", "dns"];
  const hosts = Object.fromEntries(names.map((name) => [name, labHost(namespaceOf(name))])) as Record<
    HostName,
    LabHost
  >;
  const directory = join(tmpdir(), tag);
  mkdirSync(directory);
  // Servers that drop root must reach their files.
  chmodSync(directory, 0o755);
  const sweeper = startSweeper(directory, names.map(namespaceOf));
  try {
    execFileSync("sh", ["-euc", buildScript(namespaceOf, names)], {
      stdio: "pipe",
      env: { PATH: searchPath },
    });
  } catch (error) {
    void sweeper.sweep();
    throw new Error(`the lab could not be built: ${(error as { stderr?: Buffer }).stderr}`);
  }
  return { hosts, directory, down: sweeper.sweep };
}

function uniqueTag(): string {
  return `postern-${process.pid}-${Math.floor(Math.random() * 46_656).toString(36)}`;
}

function buildScript(namespaceOf: (name: HostName) => string, names: HostName[]): string {
  const gateway = namespaceOf("gateway");
  const lines = names.flatMap((name) => [
    `ip netns add ${namespaceOf(name)}`,
    `ip -n ${namespaceOf(name)} link set lo up`,
    // Without the delay of duplicate address detection.
    `ip netns exec ${namespaceOf(name)} sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0`,
  ]);
  lines.push(`ip netns exec ${gateway} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`);
  // A link from the gateway to each host. Not a bridge: with br_netfilter its packets would pass the rules too early.
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
  // `ip netns exec` mounts this file over /etc/resolv.conf, so that programs on the hosts find the name server.
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
  const spawnHere = (program: string, ...args: string[]): ChildProcess =>
    spawn(ip, [...words, program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PATH: `${process.env.PATH}:${searchPath}` },
    });
  return {
    namespace,
    prefix,
    // Without a time-out: the test has its own, and the sweeper ends processes that are left.
    run: (program, ...args) => run(ip, [...words, program, ...args], 0),
    spawn: spawnHere,
    async serve(program, ...args) {
      const child = spawnHere(program, ...args);
      await new Promise((resolve, reject) => {
        child.stdout?.once("data", resolve);
        child.once("exit", () => reject(new Error(`${program} ended: ${child.stderr?.read()}`)));
      });
      return child;
    },
  };
}

/**
 * The sweeper: removes the namespaces when its standard input ends, which is at down() and at any end of this process. It
 * kills every process in the namespaces first.
 */
const sweeping = `
cat >/dev/null
directory=$1
shift
for namespace; do
  for round in 1 2 3; do
    pids=$(ip netns pids "$namespace" 2>/dev/null)
    [ -z "$pids" ] || kill -9 $pids
  done
  number=$(ip netns exec "$namespace" readlink /proc/self/ns/net | tr -dc 0-9)
  [ -z "$number" ] || rm -f "/run/postern/intercept-$number.json"
  ip netns del "$namespace"
  rm -rf "/etc/netns/$namespace"
done
rm -rf "$directory"
`;

function startSweeper(directory: string, namespaces: string[]): { sweep(): Promise<void> } {
  // In a session of its own, so that the Ctrl-C that ends a lab does not end its sweeper.
  const sweeper = spawn("sh", ["-c", sweeping, "sweep", directory, ...namespaces], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
    env: { PATH: searchPath },
  });
  sweeper.unref();
  const ended = new Promise<void>((resolve) => sweeper.once("exit", () => resolve()));
  return {
    sweep() {
      sweeper.ref();
      sweeper.stdin?.end();
      return ended;
    },
  };
}
