/** The extensions that a server offers in its reply to EHLO (RFC 5321 §4.1.1.1). Pure. */
import type { SmtpReply } from "./status.ts";

export interface Extensions {
  /** RFC 2920 */
  pipelining: boolean;
  /** RFC 6152 */
  eightBitMime: boolean;
  /** RFC 6531 */
  smtpUtf8: boolean;
  /** RFC 3461 */
  dsn: boolean;
  /** RFC 3207 */
  startTls: boolean;
  /** RFC 8689 */
  requireTls: boolean;
  /** RFC 1870: offered; `maxOctets` only when a limit was named. */
  size: boolean;
  maxOctets?: number;
  /** RFC 4954: mechanisms in upper case. */
  auth: string[];
}

/** After HELO, or an EHLO reply without keywords. */
export const noExtensions: Extensions = {
  pipelining: false,
  eightBitMime: false,
  smtpUtf8: false,
  dsn: false,
  startTls: false,
  requireTls: false,
  size: false,
  auth: [],
};

export function parseExtensions(ehlo: SmtpReply): Extensions {
  const offered: Extensions = { ...noExtensions, auth: [] };
  // The first line is the server's greeting, not a keyword.
  for (const line of ehlo.lines.slice(1)) {
    // Servers older than RFC 2554 write AUTH=LOGIN.
    const [keyword = "", ...parameters] = line.trim().split(/[\s=]+/);
    switch (keyword.toUpperCase()) {
      case "PIPELINING":
        offered.pipelining = true;
        break;
      case "8BITMIME":
        offered.eightBitMime = true;
        break;
      case "SMTPUTF8":
        offered.smtpUtf8 = true;
        break;
      case "DSN":
        offered.dsn = true;
        break;
      case "STARTTLS":
        offered.startTls = true;
        break;
      case "REQUIRETLS":
        offered.requireTls = true;
        break;
      case "SIZE": {
        offered.size = true;
        // RFC 1870 §3: zero, or nothing, means that no fixed limit is in force.
        const limit = /^\d{1,15}$/.test(parameters[0] ?? "") ? Number(parameters[0]) : 0;
        if (limit > 0) offered.maxOctets = limit;
        break;
      }
      case "AUTH":
        offered.auth.push(...parameters.map((mechanism) => mechanism.toUpperCase()));
        break;
    }
  }
  return offered;
}
