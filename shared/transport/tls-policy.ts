/** What a TLS level asks of a session; policies that a domain publishes (MTA-STS, DANE) would be decided here too. Pure. */
import type { TlsLevel } from "../routing/next-hop.ts";

export interface TlsPolicy {
  level: TlsLevel;
  /** STARTTLS is said where it is offered. */
  tries: boolean;
  /** No TLS, no mail. */
  needs: boolean;
  /** The certificate must be valid for the host's name. */
  verifies: boolean;
  /** After a failed handshake a fresh connection goes on in clear text (RFC 7435 §3). */
  fallsBack: boolean;
}

/**
 * A password goes out under TLS, or not at all: whoever takes STARTTLS out of a session, or breaks its handshake, must
 * not get it in clear text. Level `none` says that the operator wants it so, and to this machine itself it may go.
 */
export function tlsPolicy(level: TlsLevel, hasPassword: boolean, isLocal: boolean): TlsPolicy {
  switch (level) {
    case "none":
      return { level, tries: false, needs: false, verifies: false, fallsBack: false };
    case "may":
      return { level, tries: true, needs: hasPassword && !isLocal, verifies: false, fallsBack: !hasPassword };
    case "require":
      return { level, tries: true, needs: true, verifies: false, fallsBack: false };
    case "verify":
      return { level, tries: true, needs: true, verifies: true, fallsBack: false };
  }
}

/** After a failed handshake under `may`. */
export const clearText: TlsPolicy = {
  level: "may",
  tries: false,
  needs: false,
  verifies: false,
  fallsBack: false,
};
