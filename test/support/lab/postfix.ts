/** A Postfix of its own on a host of the lab: it takes mail for its domains, relays the rest, offers STARTTLS and AUTH. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { selfSignedCertificate } from "../certificate.ts";
import { postfixServices } from "../postfix-services.ts";
import { waitFor } from "../wait-for.ts";
import type { LabHost } from "./network.ts";

export interface LabPostfix {
  /** The certificate that it shows, PEM. */
  certificate: string;
  /** Its log so far. */
  log(): string;
  /** The messages in the mailbox of an address, as they were stored. */
  mailbox(address: string): string[];
  /** Stops taking and sending mail, as a power failure does; start() goes on with the same mailboxes. */
  halt(): Promise<void>;
  start(): Promise<void>;
}

export interface LabPostfixOptions {
  hostname: string;
  /** Whose mail ends here. */
  domains: string[];
  /** User and password for AUTH. */
  user?: { name: string; password: string };
  /** Which clients may relay, besides those that authenticated. */
  relayFor?: string[];
}

/** @param directory  where it makes one of its own; the lab clears it away, and ends the processes */
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
  // Everybody has a mailbox but gone@….
  writeFileSync(join(etc, "unknown"), "/^gone@/ 550 5.1.1 no such user here\n");
  if (options.user) makeUser(host, options);
  const start = async (): Promise<void> => {
    // -w: returns once the master process has opened its sockets. `postfix start` checks every file first, for seconds.
    const { code, output } = await host.run("/usr/lib/postfix/sbin/master", "-c", etc, "-w");
    if (code !== 0) throw new Error(`postfix: ${output}`);
  };
  const halt = async (): Promise<void> => {
    // The master leads a process group, and all of Postfix is in it.
    const group = -Number(readFileSync(join(root, "queue", "pid", "master.pid"), "utf8"));
    process.kill(group, "SIGKILL");
    await waitFor("Postfix to be gone", () => !isThere(group));
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

/** ip netns exec lays the file over /etc/sasldb2, where Debian's SASL library looks. */
function makeUser(host: LabHost, { hostname, user }: LabPostfixOptions): void {
  const database = `/etc/netns/${host.namespace}/sasldb2`;
  execFileSync("saslpasswd2", ["-p", "-c", "-f", database, "-u", hostname, user?.name ?? ""], {
    input: user?.password,
    env: { PATH: "/usr/sbin:/usr/bin:/bin" },
  });
  execFileSync("chown", ["postfix", database]);
}
