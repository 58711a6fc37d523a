/**
 * The branch office's lab, complete: hosts, name server, a Postfix as protected server and one on the internet.
 * Owns all of it; down() takes it down, also after a failure half-way up.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ZoneRecords } from "../dns-zone.ts";
import { type Gateway, startGateway } from "../gateway.ts";
import { unlessInstalled } from "../programs.ts";
import { addresses, buildNetwork, type HostName, type LabHost, unlessNamespaces } from "./network.ts";
import { type LabPostfix, startLabPostfix } from "./postfix.ts";

export interface Lab {
  hosts: Record<HostName, LabHost>;
  /** mail.protected.example: takes mail for protected.example. */
  protectedServer: LabPostfix;
  /** mail.one.example: takes mail for one.example, and relays for anna, who authenticates with `secret`. */
  internetServer: LabPostfix;
  /** Starts the gateway on its host; down() stops it. */
  startGateway(given: Parameters<typeof startGateway>[0]): Promise<Gateway>;
  down(): Promise<void>;
}

export const anna = { name: "anna", password: "secret" };
/** What AUTH wants to hear: Debian's SASL library adds the server's name to a user. */
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

export async function buildLab(): Promise<Lab> {
  const directory = mkdtempSync(join(tmpdir(), "postern-lab-"));
  const network = buildNetwork();
  const { hosts } = network;
  const stops: (() => Promise<void>)[] = [];
  const down = async (): Promise<void> => {
    for (const stop of stops.reverse()) await stop().catch(() => {});
    await network.down();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const zoneFile = join(directory, "zone.json");
    writeFileSync(zoneFile, JSON.stringify(zone));
    const script = fileURLToPath(new URL("name-server.ts", import.meta.url));
    const nameServer = hosts.dns.spawn(process.execPath, script, "::", "53", zoneFile);
    await new Promise((resolve, reject) => {
      nameServer.stdout?.once("data", resolve);
      nameServer.once("exit", () => reject(new Error(`the name server ended: ${nameServer.stderr?.read()}`)));
    });
    const protectedServer = await startLabPostfix(hosts.protected, {
      hostname: "mail.protected.example",
      domains: ["protected.example"],
    });
    stops.push(protectedServer.stop);
    const internetServer = await startLabPostfix(hosts.internet1, {
      hostname: "mail.one.example",
      domains: ["one.example"],
      user: anna,
    });
    stops.push(internetServer.stop);
    return {
      hosts,
      protectedServer,
      internetServer,
      async startGateway(given) {
        const gateway = await startGateway(
          { dns: { servers: [addresses.dns.ipv4] }, ...given },
          hosts.gateway.prefix,
        );
        stops.push(gateway.stop);
        return gateway;
      },
      down,
    };
  } catch (error) {
    await down();
    throw error;
  }
}
