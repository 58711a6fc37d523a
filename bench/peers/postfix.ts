/** A tuned Postfix of its own, in a temporary directory, that relays everything to one port of 127.0.0.1. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, run, untilGreets } from "./program.ts";

/** What a Postfix administrator would set for throughput, durability untouched (250 after fsync). */
function mainCf(root: string, sinkPort: number): string {
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
relayhost = [127.0.0.1]:${sinkPort}
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

function masterCf(port: number): string {
  const internal = [
    "pickup unix n - n 60 1 pickup",
    "cleanup unix n - n - 0 cleanup",
    "qmgr unix n - n 300 1 qmgr",
    "rewrite unix - - n - - trivial-rewrite",
    "bounce unix - - n - 0 bounce",
    "defer unix - - n - 0 bounce",
    "trace unix - - n - 0 bounce",
    "verify unix - - n - 1 verify",
    "flush unix n - n 1000? 0 flush",
    "proxymap unix - - n - - proxymap",
    "smtp unix - - n - - smtp",
    "relay unix - - n - - smtp",
    "showq unix n - n - - showq",
    "error unix - - n - - error",
    "retry unix - - n - - error",
    "discard unix - - n - - discard",
    "anvil unix - - n - 1 anvil",
    "scache unix - - n - 1 scache",
  ];
  return [`127.0.0.1:${port} inet n - n - - smtpd`, ...internal, ""].join("\n");
}

export interface Postfix {
  port: number;
  version: string;
  stop(): Promise<void>;
}

/** Needs root, as Postfix does. */
export async function startPostfix(sinkPort: number): Promise<Postfix> {
  const root = mkdtempSync(join(tmpdir(), "postern-bench-postfix-"));
  chmodSync(root, 0o755);
  const port = await freePort();
  const etc = join(root, "etc");
  for (const directory of [etc, join(root, "queue"), join(root, "data")]) mkdirSync(directory);
  execFileSync("chown", ["postfix", join(root, "data")]);
  writeFileSync(join(etc, "main.cf"), mainCf(root, sinkPort));
  writeFileSync(join(etc, "master.cf"), masterCf(port));
  await run("postfix", ["-c", etc, "start"]);
  await untilGreets(port);
  const version = execFileSync("postconf", ["-d", "-h", "mail_version"]).toString().trim();
  return {
    port,
    version,
    async stop() {
      await run("postfix", ["-c", etc, "stop"]);
      rmSync(root, { recursive: true, force: true });
    },
  };
}
