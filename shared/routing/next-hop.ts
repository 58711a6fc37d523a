/** Where a message goes next. */
import type { HostPort } from "../net/endpoint.ts";

/** A named entry of `relay.hosts`, complete. */
export interface RelayHost extends HostPort {
  name: string;
  tls: HostTlsLevel;
  auth?: { user: string; password: string };
}

/**
 * `none`: never. `may`: if offered, no certificate check. `require`: or defer. `verify`: with a valid certificate.
 * `dane`, `mta-sts`: by the TLSA records (RFC 7672), the policy (RFC 8461) of the destination, or defer.
 */
export type TlsLevel = "none" | "may" | "require" | "verify" | "dane" | "mta-sts";

/** What a configured host can be asked for: MTA-STS speaks of the domain's own MX hosts only. */
export type HostTlsLevel = Exclude<TlsLevel, "mta-sts">;

export type NextHop =
  /** Protected servers in order of preference, or the one server that the client connected to. */
  | {
      kind: "servers";
      servers: HostPort[];
      hide: boolean;
      /** `protected[].tls`. Absent: `may`. */
      tls?: HostTlsLevel;
    }
  /** A relay host by name. */
  | { kind: "relay"; relay: RelayHost }
  /** `via: host:port`. */
  | { kind: "host"; host: HostPort }
  /** RFC 5321 §5.1 for this domain (or address literal), in lower-case A-label form. */
  | { kind: "mx"; domain: string };
