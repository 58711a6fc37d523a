/** The recipients that a session refuses, and with which reply. */
import type { EnhancedStatus } from "../smtp/status.ts";

export interface DeniedRecipient {
  row: "denied";
  nextHop: null;
  setting: string;
  reply: { code: number; status: EnhancedStatus; text: string };
}

export const relayingDenied: DeniedRecipient = {
  row: "denied",
  nextHop: null,
  setting: "relay.clients",
  reply: { code: 550, status: "5.7.1", text: "Relaying denied" },
};

/** RFC 5321 §4.5.1 wants a postmaster who reads the mail: where none is named, nobody would. */
export const noPostmaster: DeniedRecipient = {
  row: "denied",
  nextHop: null,
  setting: "postmaster",
  reply: { code: 550, status: "5.1.1", text: "This gateway has no postmaster" },
};

export const loginNeeded: DeniedRecipient = {
  ...relayingDenied,
  reply: { code: 550, status: "5.7.1", text: "Relaying denied: authenticate first" },
};

/** RFC 5321 §2.3.5: only `postmaster` may stand without a domain. */
export const domainMissing: DeniedRecipient = {
  row: "denied",
  nextHop: null,
  setting: "hostname",
  reply: { code: 553, status: "5.1.3", text: "The recipient address has no domain" },
};
