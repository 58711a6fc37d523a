/** The configuration of the run (pure): one file for each process, which differ by the source address alone. */
import type { z } from "zod";
import type { configSchema } from "../../../shared/config/schema.ts";
import { domains } from "../peers/domains.ts";

export type ChaosConfig = z.input<typeof configSchema>;

export interface Addresses {
  /** Ports of the servers by domain; they listen on the addresses of `domains`. */
  ports: Record<string, number>;
  submissionPort: number;
  proxyPort: number;
  adminPort: number;
  nameServer: string;
  redisUrl: string;
}

/** The token of the admin in this run; the admin listens on loopback only. */
export const adminToken = "chaos";

/** Networks that the clients of the PROXY listener pretend to be in (RFC 5737). */
export const clientNetwork = "192.0.2.0/24";

export function chaosConfig(data: string, at: Addresses, source: string | undefined): ChaosConfig {
  const server = (domain: string) => `${domains[domain]?.address}:${at.ports[domain]}`;
  const protectedDomains = Object.entries(domains).filter(([, { kind }]) => kind !== "routed");
  const routed = Object.entries(domains).filter(([, { kind }]) => kind === "routed");
  return {
    hostname: "gw.example.net",
    data,
    redis: { url: at.redisUrl },
    dns: { servers: [at.nameServer] },
    listeners: [
      { name: "submission", address: "127.0.0.1", port: at.submissionPort, destination: "self" },
      {
        name: "proxy",
        address: "127.0.0.1",
        port: at.proxyPort,
        destination: "proxy",
        trusted_proxies: ["127.0.0.0/8"],
      },
    ],
    protected: protectedDomains.map(([domain, { kind }]) => ({
      domains: [domain],
      servers: [server(domain)],
      inline: kind === "inline",
      use_server_for_outgoing: true,
    })),
    relay: {
      clients: ["127.0.0.0/8", clientNetwork],
      routes: routed.map(([domain]) => ({ to: `*@${domain}`, via: `mail.${domain}:${at.ports[domain]}` })),
    },
    queue: {
      retry: ["1s", "2s", "5s"],
      slow_after: 3,
      expire: "20m",
      dsn_expire: "40m",
      delay_warning: "3m",
    },
    dsn: { delays_to: "all" },
    limits: {
      dead_destination: "2s",
      message: "8MB",
      destinations: [{ match: "*", connections: 10, messages_per_connection: 20 }],
    },
    delivery: {
      loopback: "allow",
      concurrency: 20,
      mta_sts: false,
      ...(source === undefined ? {} : { source_addresses: [source] }),
    },
    timeouts: {
      connect: "5s",
      greeting: "10s",
      ehlo: "10s",
      mail: "10s",
      rcpt: "10s",
      data: "10s",
      body: "10s",
      dot: "20s",
      inline: "5s",
      attempt: "2m",
      client: "1m",
    },
    admin: { port: at.adminPort, token: adminToken },
  };
}
