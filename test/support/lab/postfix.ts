/** A Postfix on a host of the lab: accepts mail for its domains, relays other mail, offers STARTTLS and AUTH. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { selfSignedCertificate } from "../certificate.ts";
import { postfixServices } from "../postfix-services.ts";
import { waitFor } from "../wait-for.ts";
import type { LabHost } from "./network.ts";

export interface LabPostfix {
  /** Its certificate, PEM. */
  certificate: string;
  /** Its log so far. */
  log(): string;
  /** The messages in the mailbox of an address, as they were stored. */
  mailbox(address: string): string[];
  /** Kills Postfix, like a power failure; start() goes on with the same mailboxes. */
  halt(): Promise<void>;
  start(): Promise<void>;
}

export interface LabPostfixOptions {
  hostname: string;
  /** The domains whose mail it stores in mailboxes. */
  domains: string[];
  /** User and password for AUTH. */
  user?: { name: string; password: string };
  /** The networks that may relay without authentication. */
  relayFor?: string[];
}

/** @param directory  the directory in which it creates its own; the lab removes it and ends the processes */
export async function startLabPostfix(
  host: LabHost,
  directory: string,
  options: LabPostfixOptions,
): Promise<LabPostfix> {
  const root = join(directory, options.hostname);
  mkdirSync(root);
  const etc = join(root, "etc");
  for (const name of ["etc", "queue", "data", "mail"]) mkdirSync(join(root, name));
  execFileSync("chown", ["postfix", join(root, "data")]);
  execFileSync("chown", ["nobody", join(root, "mail")]);
  const { cert, key } = selfSignedCertificate(options.hostname);
  writeFileSync(join(root, "cert.pem"), cert);
  writeFileSync(join(root, "key.pem"), key, { mode: 0o600 });
  writeFileSync(join(etc, "main.cf"), mainCf(root, options));
  writeFileSync(join(etc, "master.cf"), masterCf);
  // Every address has a mailbox, except gone@….
  writeFileSync(join(etc, "unknown"), "/^gone@/ 550 5.1.1 no such user here\n");
  if (options.user) makeUser(host, options);
  const start = async (): Promise<void> => {
    // -w: returns when the master process has opened its sockets. `postfix start` would check every file first, for seconds.
    const { code, output } = await host.run("/usr/lib/postfix/sbin/master", "-c", etc, "-w");
    if (code !== 0) throw new Error(`postfix: ${output}`);
  };
  const halt = async (): Promise<void> => {
    // All processes of Postfix are in the process group of the master.
    const group = -Number(readFileSync(join(root, "queue", "pid", "master.pid"), "utf8"));
    process.kill(group, "SIGKILL");
    await waitFor("Postfix to end", () => !isThere(group));
  };
  const made = await host.run("postfix", "-c", etc, "check");
  if (made.code !== 0) throw new Error(`postfix: ${made.output}`);
  await start();
  return {
    certificate: cert,
    log: () => readFileSync(join(root, "data", "log"), "utf8"),
    mailbox(address) {
      const directory = join(root, "mail", "all", "new");
      if (!existsSync(directory)) return [];
      return readdirSync(directory)
        .map((name) => readFileSync(join(directory, name), "utf8"))
        .filter((message) => message.includes(`\nDelivered-To: ${address}\n`));
    },
    halt,
    start,
  };
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function mainCf(root: string, { hostname, domains, user, relayFor = [] }: LabPostfixOptions): string {
  return `compatibility_level = 3.6
queue_directory = ${root}/queue
data_directory = ${root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = ${root}/data/log
maillog_file_prefixes = ${root}/data
myhostname = ${hostname}
mydestination =
inet_interfaces = all
inet_protocols = all
smtp_address_preference = ipv4
smtp_host_lookup = dns
mynetworks = ${["127.0.0.0/8", ...relayFor].join(", ")}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
virtual_mailbox_domains = ${domains.join(", ")}
virtual_mailbox_base = ${root}/mail
virtual_mailbox_maps = static:all/
smtpd_recipient_restrictions = check_recipient_access regexp:${root}/etc/unknown
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
alias_maps =
local_recipient_maps =
smtpd_tls_security_level = may
smtpd_tls_cert_file = ${root}/cert.pem
smtpd_tls_key_file = ${root}/key.pem
smtpd_sasl_auth_enable = ${user ? "yes" : "no"}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
`;
}

const masterCf = `smtp inet n - n - - smtpd
smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
${postfixServices(1)}virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`;

/** `ip netns exec` mounts the file over /etc/sasldb2, which Debian's SASL library reads. */
function makeUser(host: LabHost, { hostname, user }: LabPostfixOptions): void {
  const database = `/etc/netns/${host.namespace}/sasldb2`;
  execFileSync("saslpasswd2", ["-p", "-c", "-f", database, "-u", hostname, user?.name ?? ""], {
    input: user?.password,
    env: { PATH: "/usr/sbin:/usr/bin:/bin" },
  });
  execFileSync("chown", ["postfix", database]);
}
