/** The TLS that a server must offer: the operator's level, raised by published policies (DANE, MTA-STS). Pure. */
import type { TlsLevel } from "../../routing/next-hop.ts";
import type { EnhancedStatus } from "../../smtp/status.ts";
import type { TlsaRecord } from "../dns/tlsa.ts";
import type { DaneFinding } from "./dane/find-tlsa.ts";

/** What the message and the operator require of every host. */
export interface TlsRequirements {
  level: TlsLevel;
  /** REQUIRETLS: the names of the hosts must be authenticated too (RFC 8689 §4.2.1). */
  requireTls: boolean;
  /** `TLS-Required: No`: published policies are ignored, the operator's level applies (RFC 8689 §3, §8.4). */
  ignoresPublished: boolean;
}

/** How a server proves its identity. */
export type Proof =
  /**
   * A certificate for its host name from a trusted authority.
   * `dnsIdOnly`: the name must be a subject alternative name (RFC 8461 §4.2); the common name does not count.
   */
  | { kind: "pkix"; dnsIdOnly: boolean }
  /** Certificates that the TLSA records name. `names`: for trust anchors (RFC 7672 §3.2.3); the first is for SNI. */
  | { kind: "dane"; records: TlsaRecord[]; names: [string, ...string[]] };

/** The TLS policy for every session with one host. */
export interface HostTls {
  /** The policy in force: `dane` or `mta-sts` where published records decide, else the operator's level. */
  level: TlsLevel;
  proof: Proof;
  /** A policy in mode testing: failures are logged, and the mail is sent (RFC 8461 §5). */
  stsTesting?: { listsHost: boolean };
}

export interface TlsPolicy {
  level: TlsLevel;
  /** Use STARTTLS where it is offered. */
  tries: boolean;
  /** Without TLS no mail is sent. */
  needs: boolean;
  proof: Proof;
  /** Without proof no mail is sent; otherwise the result is only logged. */
  verifies: boolean;
  /** After a failed handshake, retry in clear text on a new connection (RFC 7435 §3). */
  fallsBack: boolean;
}

/** What the MTA-STS policy of the recipients' domain says about one host. */
export type StsFinding =
  | { kind: "none"; reason: string }
  | { kind: "policy"; mode: "enforce" | "testing"; listsHost: boolean };

/** The published policies for one host. */
export interface Published {
  dane: DaneFinding;
  sts: StsFinding;
}

export type HostDecision =
  | { kind: "host"; tls: HostTls }
  /**
   * The host gets no mail now. `cannotTell`: a DNS failure, which says nothing about the host. `isLocal`: no name server
   * could be asked, which says nothing about the DNS either.
   */
  | { kind: "refused"; status: EnhancedStatus; reason: string; cannotTell: boolean; isLocal?: true };

const byName: Proof = { kind: "pkix", dnsIdOnly: false };

/** Which published policies have to be looked up. */
export function policiesToLookUp(
  { level, ignoresPublished }: Pick<TlsRequirements, "level" | "ignoresPublished">,
  switches: { dane: boolean; mtaSts: boolean },
) {
  const mayLook = level !== "none" && !ignoresPublished;
  return {
    dane: level === "dane" || (switches.dane && mayLook),
    // Level dane accepts DANE only.
    mtaSts: level === "mta-sts" || (switches.mtaSts && mayLook && level !== "dane"),
  };
}

/**
 * The order of precedence: DANE, then MTA-STS, then the operator's level. RFC 8461 §2: MTA-STS must never override a
 * DANE validation that fails; where there are usable TLSA records, they alone decide.
 * @param names  further names that a certificate of a DANE trust anchor may have, besides the base domain
 */
export function decideHost(
  level: TlsLevel,
  { dane, sts }: Published,
  names: readonly string[] = [],
): HostDecision {
  switch (dane.kind) {
    case "unavailable": {
      // RFC 7672 §2.1.2: treat the host as unreachable, since an attacker may have made the look-up fail.
      const reason = `its TLSA records cannot be looked up: ${dane.reason}`;
      if (dane.isLocal === true)
        return { kind: "refused", status: "4.3.0", reason, cannotTell: true, isLocal: true };
      return { kind: "refused", status: "4.4.3", reason, cannotTell: true };
    }
    case "usable": {
      const proof: Proof = {
        kind: "dane",
        records: dane.records,
        names: [dane.base, ...names.filter((name) => name !== dane.base)],
      };
      return host("dane", proof);
    }
    case "unusable":
    case "none":
      break;
  }
  if (level === "dane") {
    const why = dane.kind === "none" ? dane.reason : "none of its TLSA records is usable";
    return refused(`DANE is required, and ${why}`);
  }
  if (sts.kind === "none" && level === "mta-sts") {
    return refused(`MTA-STS is required, and there is no policy: ${sts.reason}`);
  }
  if (sts.kind === "policy" && (sts.mode === "enforce" || level === "mta-sts")) {
    // RFC 8461 §5: a host that the policy does not list gets no mail.
    if (!sts.listsHost) return refused("the domain's MTA-STS policy does not list it");
    return host("mta-sts", { kind: "pkix", dnsIdOnly: true });
  }
  // RFC 7672 §2.2: unusable TLSA records still require TLS.
  const floor = dane.kind === "unusable" && level === "may" ? "require" : level;
  if (sts.kind === "none") return host(floor, byName);
  return {
    kind: "host",
    tls: {
      level: floor,
      // Mode testing changes nothing: an operator's level `verify` keeps its own check of names.
      proof: { kind: "pkix", dnsIdOnly: floor !== "verify" },
      stsTesting: { listsHost: sts.listsHost },
    },
  };
}

function host(level: TlsLevel, proof: Proof): HostDecision {
  return { kind: "host", tls: { level, proof } };
}

function refused(reason: string): HostDecision {
  return { kind: "refused", status: "4.7.0", reason, cannotTell: false };
}

/**
 * RFC 8689 §4.2.1: mail with REQUIRETLS needs a server that is authenticated by DANE or by its certificate.
 */
export function levelForRequireTls(level: TlsLevel): TlsLevel {
  return level === "dane" || level === "mta-sts" ? level : "verify";
}

/** For a host without published policies, or whose policies were not looked up. */
export function unpublished(level: TlsLevel): HostTls {
  return { level, proof: byName };
}

/**
 * The TLS policy of one session.
 *
 * A password is sent under TLS only: an attacker who removes STARTTLS or breaks the handshake must not get it in clear
 * text. The exceptions are level `none`, which the operator chose, and a server on this machine.
 */
export function tlsPolicy({ level, proof }: HostTls, hasPassword: boolean, isLocal: boolean): TlsPolicy {
  switch (level) {
    case "none":
      return { level, proof, tries: false, needs: false, verifies: false, fallsBack: false };
    case "may": {
      const needs = hasPassword && !isLocal;
      return { level, proof, tries: true, needs, verifies: false, fallsBack: !hasPassword };
    }
    case "require":
      return { level, proof, tries: true, needs: true, verifies: false, fallsBack: false };
    case "verify":
    case "dane":
    case "mta-sts":
      return { level, proof, tries: true, needs: true, verifies: true, fallsBack: false };
  }
}

/**
 * Why mode enforce would have refused the session; `undefined` when it would not.
 * @param tls  absent: in clear text
 */
export function testingFailure(
  { listsHost }: { listsHost: boolean },
  tls: { verified: boolean; failure?: string } | undefined,
): string | undefined {
  if (!listsHost) return "the domain's MTA-STS policy does not list it";
  if (tls === undefined) return "there was no TLS";
  return tls.verified ? undefined : (tls.failure ?? "its certificate is not valid");
}

/** After a failed handshake under `may`. */
export const clearText: TlsPolicy = {
  level: "may",
  proof: byName,
  tries: false,
  needs: false,
  verifies: false,
  fallsBack: false,
};
