/**
 * `npm run lab`: opens the lab of a branch office until Ctrl-C. test/lab/README.md walks through it.
 * Owns the lab, and removes all of it at any end of this process.
 */
import { appendFileSync, existsSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildLab, program, unlessLab } from "../support/lab/lab.ts";
import { addresses, type HostName } from "../support/lab/network.ts";
import { startLabPostfix } from "../support/lab/postfix.ts";

const tag = "postern-lab";

const config = {
  listeners: [{ name: "transparent", address: "::", port: 10_025, destination: "tproxy" as const }],
  protected: [
    {
      domains: ["protected.example"],
      servers: [`${addresses.protected.ipv4}:25`, `[${addresses.protected.ipv6}]:25`],
      hide: true,
    },
  ],
  outgoing: {
    client_server: "permit" as const,
    exceptions: [
      { servers: [addresses.internet2.ipv4, addresses.internet2.ipv6], client_server: "insist" as const },
    ],
    hide: true,
  },
  relay: { clients: ["198.51.100.0/24", "2001:db8:51::/64"] },
  queue: { retry: ["5s"], delay_warning: 0 as const },
};

const about: Record<HostName, string> = {
  client: "a PC of the branch office",
  gateway: "Postern, between everything; .1 and ::1 of each network",
  protected: "mail.protected.example, Postfix: the office's own server",
  internet1: "mail.one.example, Postfix with STARTTLS, and AUTH for anna@mail.one.example, password secret",
  internet2: "mail.two.example, Postfix",
  dns: "the name server",
};

function instructions(directory: string): string {
  const hosts = (Object.keys(about) as HostName[]).map((name) => {
    const { ipv4, ipv6 } = name === "gateway" ? { ipv4: "", ipv6: "" } : addresses[name];
    return `  ${name.padEnd(10)} ${ipv4.padEnd(14)} ${ipv6.padEnd(17)} ${about[name]}`;
  });
  return `
The lab is open. Ctrl-C takes it down again.

${hosts.join("\n")}

In another terminal, as root:

  on() { host=$1; shift; ip netns exec ${tag}-$host "$@"; }
  postern() { on gateway ${program} "$@" -c ${directory}/gateway/postern.yaml; }

  on client swaks --server ${addresses.internet1.ipv4} --from anna@client.example --to bert@one.example
  postern queue list
  on client bash                                     a shell on that host
  tail -f ${directory}/gateway.log                  the gateway's log
  tail -f ${directory}/mail.one.example/data/log    a Postfix's log

What to try, step by step: test/lab/README.md
`;
}

const missing = unlessLab();
if (missing) {
  console.error(`The lab cannot be opened: ${missing}.`);
  process.exit(1);
}
if (existsSync(join(tmpdir(), tag))) {
  console.error(`The lab is open already (${join(tmpdir(), tag)}).`);
  process.exit(1);
}

const asked = new Promise<void>((resolve) => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
});
console.log("Building the lab …");
const lab = await buildLab(tag);
try {
  const { directory, hosts } = lab;
  await startLabPostfix(hosts.internet2, directory, {
    hostname: "mail.two.example",
    domains: ["two.example"],
  });
  const gateway = await lab.startGateway(config);
  symlinkSync(gateway.directory, join(directory, "gateway"));
  const { code, stderr } = await gateway.postern("intercept", "up");
  if (code !== 0) throw new Error(stderr);
  console.log(instructions(directory));
  let written = 0;
  const writing = setInterval(() => {
    const lines = gateway.log().slice(written);
    written += lines.length;
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    appendFileSync(join(directory, "gateway.log"), text);
  }, 500);
  await asked;
  clearInterval(writing);
} finally {
  console.log("\nTaking the lab down …");
  await lab.down();
}
process.exit(0);
