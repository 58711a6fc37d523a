/** The domains of the run: where their server listens, and what it is like. */
import type { ZoneName } from "../../support/dns-zone.ts";

export interface Domain {
  /** Of 127.0.0.0/8, so that servers are told apart by address. */
  address: string;
  /** Reached by a route of the configuration, or a protected server with or without inline delivery. */
  kind: "routed" | "inline" | "protected";
  /** How often something goes wrong at each step of a session, 0..1. */
  temper: number;
  /** Without the DSN extension the gateway itself reports success. */
  offersDsn: boolean;
  /** How often a recipient is refused with 550; always the same recipients. */
  refuses: number;
}

export const domains: Record<string, Domain> = {
  "good.test": { address: "127.0.3.1", kind: "routed", temper: 0, offersDsn: true, refuses: 0 },
  "plain.test": { address: "127.0.3.2", kind: "routed", temper: 0.01, offersDsn: false, refuses: 0 },
  "moody.test": { address: "127.0.3.3", kind: "routed", temper: 0.08, offersDsn: true, refuses: 0.1 },
  "strict.test": { address: "127.0.3.4", kind: "routed", temper: 0.01, offersDsn: false, refuses: 0.6 },
  "office.test": { address: "127.0.3.5", kind: "inline", temper: 0.03, offersDsn: true, refuses: 0.1 },
  "branch.test": { address: "127.0.3.6", kind: "protected", temper: 0.04, offersDsn: false, refuses: 0.1 },
  /** Senders whose notifications arrive, and senders whose notifications nobody takes. */
  "back.test": { address: "127.0.3.7", kind: "routed", temper: 0.02, offersDsn: true, refuses: 0 },
  "nobody.test": { address: "127.0.3.8", kind: "routed", temper: 0.02, offersDsn: true, refuses: 1 },
};

/** Domains that messages go to. */
export const recipientDomains = [
  "good.test",
  "plain.test",
  "moody.test",
  "strict.test",
  "office.test",
  "branch.test",
];

/** What the name server says of a domain's mail host; not for long, so that its faults are seen. */
export function hostRecords(domain: string): ZoneName {
  return { A: [domains[domain]?.address ?? ""], ttl: 1 };
}
