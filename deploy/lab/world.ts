/** Who is where in the lab: containers of docker-compose.yml, each found by the name of its service. */
import { lookup } from "node:dns/promises";
import { setTimeout as wait } from "node:timers/promises";
import type { ZoneRecords } from "../../test/support/dns-zone.ts";

export interface MailServer {
  name: string;
  domain: string;
  /** It listens on port 25. */
  address: string;
}

export interface World {
  /** The listener of the gateway, where the router of the office leads the sessions of its clients. */
  gateway: { address: string; port: number };
  servers: Record<"protected" | "one" | "two", MailServer>;
  /** Where no mail server is. */
  away: string;
  /** The file of what the servers have received: one line of JSON each. */
  arrivals: string;
}

const services = ["lab-gateway", "lab-dns", "lab-protected", "lab-one", "lab-two"] as const;
const gatewayPort = 10_025;
export const arrivals = "/var/lib/lab/arrivals";

/** By their domains under the reserved name `.example` (RFC 2606 section 2). */
export const domains = { protected: "protected.example", one: "one.example", two: "two.example" } as const;

/** @param wanted  those that must be there; the others have no address then */
export async function findWorld(wanted: readonly (typeof services)[number][] = services): Promise<World> {
  const found = new Map(
    await Promise.all(wanted.map(async (name) => [name, await addressOf(name)] as const)),
  );
  const server = (name: keyof typeof domains): MailServer => ({
    name: `mail.${domains[name]}`,
    domain: domains[name],
    address: found.get(`lab-${name}`) ?? "",
  });
  return {
    gateway: { address: found.get("lab-gateway") ?? "", port: gatewayPort },
    servers: { protected: server("protected"), one: server("one"), two: server("two") },
    away: found.get("lab-dns") ?? "",
    arrivals,
  };
}

/** The Internet of the lab. */
export function zoneOf({ servers }: Pick<World, "servers">): ZoneRecords {
  return Object.fromEntries(
    Object.values(servers).flatMap(({ name, domain, address }) => [
      [domain, { MX: [[10, name]] }],
      [name, { A: [address] }],
    ]),
  );
}

/** Waits until the container runs. */
async function addressOf(name: string): Promise<string> {
  for (;;) {
    const found = await lookup(name, 4).catch(() => undefined);
    if (found !== undefined) return found.address;
    await wait(200);
  }
}
