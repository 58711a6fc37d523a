/**
 * The lab of a branch office: hosts, a name server, a Postfix as protected server and one on the Internet.
 * Owns all of it; down() or the end of this process removes it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { ZoneRecords } from "../dns-zone.ts";
import { type Gateway, startGateway } from "../gateway.ts";
import { type Ended, unlessInstalled } from "../programs.ts";
import {
  addresses,
  buildNetwork,
  type HostName,
  type LabHost,
  type LabNetwork,
  unlessNamespaces,
} from "./network.ts";
import { type LabPostfix, startLabPostfix } from "./postfix.ts";

export interface Lab {
  hosts: Record<HostName, LabHost>;
  /** mail.protected.example, which accepts mail for protected.example. */
  protectedServer: LabPostfix;
  /** mail.one.example, which accepts mail for one.example, and relays for anna, whose password is `secret`. */
  internetServer: LabPostfix;
  /** Starts the gateway on its host; down() stops it. */
  startGateway(given: Parameters<typeof startGateway>[0]): Promise<Gateway>;
  /** For files of the hosts; removed with the lab. */
  directory: string;
  down(): Promise<void>;
}

export const anna = { name: "anna", password: "secret" };
/** The user name for AUTH: Debian's SASL library adds the name of the server. */
export const annasLogin = "anna@mail.one.example";

export function unlessLab(): false | string {
  return unlessNamespaces() || unlessInstalled("postfix", "swaks", "redis-server", "saslpasswd2", "openssl");
}

const zone: ZoneRecords = {
  "protected.example": { MX: [[10, "mail.protected.example"]] },
  "mail.protected.example": { A: [addresses.protected.ipv4], AAAA: [addresses.protected.ipv6] },
  "one.example": { MX: [[10, "mail.one.example"]] },
  "mail.one.example": { A: [addresses.internet1.ipv4], AAAA: [addresses.internet1.ipv6] },
  "two.example": { MX: [[10, "mail.two.example"]] },
  "mail.two.example": { A: [addresses.internet2.ipv4], AAAA: [addresses.internet2.ipv6] },
};

/** @param tag  the prefix of namespaces and directory; absent: a unique one */
export async function buildLab(tag?: string): Promise<Lab> {
  const { hosts, directory, down } = buildNetwork(tag);
  try {
    const [protectedServer, internetServer] = await Promise.all([
      startLabPostfix(hosts.protected, directory, {
        hostname: "mail.protected.example",
        domains: ["protected.example"],
      }),
      startLabPostfix(hosts.internet1, directory, {
        hostname: "mail.one.example",
        domains: ["one.example"],
        user: anna,
      }),
      startNameServer(hosts.dns, directory),
    ]);
    return {
      hosts,
      protectedServer,
      internetServer,
      directory,
      startGateway: (given) =>
        startGateway({ dns: { servers: [addresses.dns.ipv4] }, ...given }, hosts.gateway.prefix, directory),
      down,
    };
  } catch (error) {
    await down();
    throw error;
  }
}

/** bin/postern. */
export const program = fileURLToPath(new URL("../../../bin/postern", import.meta.url));

/** Runs a command of postern on the gateway's host, with a configuration of its own. */
export function posternOn(
  lab: LabNetwork | Lab,
  config: Record<string, unknown>,
  ...args: string[]
): Promise<Ended> {
  return lab.hosts.gateway.run(program, ...args, "-c", writeConfig(lab, config));
}

/** @returns the file, which the next call overwrites */
export function writeConfig(lab: LabNetwork | Lab, config: Record<string, unknown>): string {
  const file = join(lab.directory, "postern.yaml");
  writeFileSync(file, stringify({ hostname: "gw.example.net", ...config }));
  return file;
}

async function startNameServer(host: LabHost, directory: string): Promise<void> {
  const zoneFile = join(directory, "zone.json");
  writeFileSync(zoneFile, JSON.stringify(zone));
  const script = fileURLToPath(new URL("name-server.ts", import.meta.url));
  await host.serve(process.execPath, script, "::", "53", zoneFile);
}
