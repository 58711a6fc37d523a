/** A tuned Postfix of its own, in a temporary directory, that relays everything to one port of 127.0.0.1. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.ts";
import { postfixServices } from "../../test/support/postfix-services.ts";
import { orInterrupted } from "../interrupt.ts";
import { type CpuSeconds, childrenOf, cpuSeconds } from "../processes.ts";
import { run, untilGreets } from "./program.ts";

/** Settings of a Postfix administrator for throughput, without less durability (250 after fsync). */
function mainCf(root: string, relayhost: string): string {
  return `compatibility_level = 3.6
queue_directory = ${root}/queue
data_directory = ${root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example.net
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
relayhost = ${relayhost}
transport_maps = texthash:${root}/etc/transport
alias_maps =
local_recipient_maps =
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtp_connection_cache_on_demand = no
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
default_process_limit = 30
max_use = 5000
max_idle = 600s
message_size_limit = 52428800
mailbox_size_limit = 0
qmgr_message_active_limit = 20000
qmgr_message_recipient_limit = 20000
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
`;
}

export interface PostfixOptions {
  /** `[127.0.0.1]:25`. */
  relayhost: string;
  /** Lines of a transport(5) map. */
  transports?: string[];
}

export interface Postfix {
  port: number;
  cpu(): CpuSeconds;
  /** The output of `postqueue -p`. */
  queued(): Promise<string>;
  stop(): Promise<void>;
}

/** Needs root, as Postfix does. */
export async function startPostfix(options: PostfixOptions): Promise<Postfix> {
  const root = mkdtempSync(join(tmpdir(), "postern-bench-postfix-"));
  chmodSync(root, 0o755);
  const port = await freePort();
  const etc = join(root, "etc");
  for (const directory of [etc, join(root, "queue"), join(root, "data")]) mkdirSync(directory);
  execFileSync("chown", ["postfix", join(root, "data")]);
  writeFileSync(join(etc, "main.cf"), mainCf(root, options.relayhost));
  // qmgr(8) sometimes overlooks a message that it moves from `deferred` to `incoming`, which then waits for the next scan.
  writeFileSync(join(etc, "master.cf"), `127.0.0.1:${port} inet n - n - - smtpd\n${postfixServices(1)}`);
  writeFileSync(join(etc, "transport"), `${(options.transports ?? []).join("\n")}\n`);
  await run("postfix", ["-c", etc, "start"]);
  await untilGreets(port);
  const master = Number(readFileSync(join(root, "queue", "pid", "master.pid"), "utf8"));
  return {
    port,
    cpu: () => cpuSeconds(childrenOf(master), master),
    queued: () => run("postqueue", ["-c", etc, "-p"]),
    stop: orInterrupted(async () => {
      await run("postfix", ["-c", etc, "stop"]);
      rmSync(root, { recursive: true, force: true });
    }),
  };
}
