/** The kinds of values in the configuration: durations, sizes, rates, networks, servers, patterns, next hops of routes. Pure. */

import { z } from "zod";
import { type HostPort, isHostName, parseHostPort } from "../net/endpoint.ts";
import { literalAddress, Network } from "../net/network.ts";

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const unitBytes = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 } as const;

/** Text that is not empty. */
export const text = z.string().min(1);

export const port = z.int().min(1).max(65_535);

/** Port 0 is any free one: for tests and for two gateways on one machine. */
export const listenPort = z.int().min(0).max(65_535);

/** `30s`, `5m`, `4h`, `5d`, or `0`; milliseconds after parsing. */
export const duration = z
  .union([z.string(), z.literal(0)])
  .transform((value, context) => {
    const match = value === 0 || value === "0" ? ["0", "0", "ms"] : /^(\d{1,9})(ms|s|m|h|d)$/.exec(value);
    if (match) return Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
    context.addIssue({ code: "custom", message: "is not a duration: write 30s, 5m, 4h, 5d or 0" });
    return z.NEVER;
  })
  .meta({
    format: "duration",
    jsonSchema: { anyOf: [{ type: "string", pattern: "^(0|\\d{1,9}(ms|s|m|h|d))$" }, { const: 0 }] },
  });

/** `64KB`, `25MB` (1024-based), or `0`; octets after parsing. */
export const size = z
  .union([z.string(), z.literal(0)])
  .transform((value, context) => {
    const match = value === 0 || value === "0" ? ["0", "0", "B"] : /^(\d{1,9})(B|KB|MB|GB)$/.exec(value);
    if (match) return Number(match[1]) * unitBytes[match[2] as keyof typeof unitBytes];
    context.addIssue({ code: "custom", message: "is not a size: write 64KB, 25MB, 1GB or 0" });
    return z.NEVER;
  })
  .meta({
    format: "size",
    jsonSchema: { anyOf: [{ type: "string", pattern: "^(0|\\d{1,9}(B|KB|MB|GB))$" }, { const: 0 }] },
  });

export interface Rate {
  count: number;
  periodMs: number;
  /** How many may go at once, after a time without any. Absent: `count`. */
  burst?: number;
}

/** A rate and its `burst` as the configuration has them, beside each other. */
export function rateOf({
  rate,
  burst,
}: {
  rate?: Rate | undefined;
  burst?: number | undefined;
}): Rate | undefined {
  return rate === undefined || burst === undefined ? rate : { ...rate, burst };
}

/** `100/1m`: a hundred in each minute. */
export const rate = z
  .string()
  .transform((value, context): Rate => {
    const match = /^(\d{1,9})\/(\d{0,9})(s|m|h|d)$/.exec(value);
    if (match && Number(match[1]) > 0 && (match[2] === "" || Number(match[2]) > 0)) {
      return {
        count: Number(match[1]),
        periodMs: Number(match[2] || 1) * unitMs[match[3] as keyof typeof unitMs],
      };
    }
    context.addIssue({ code: "custom", message: "is not a rate: write 100/1m" });
    return z.NEVER;
  })
  .meta({ format: "rate", jsonSchema: { type: "string", pattern: "^\\d{1,9}/\\d{0,9}(s|m|h|d)$" } });

export const network = z
  .string()
  .transform((value, context): Network => {
    try {
      return Network.parse(value);
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message });
      return z.NEVER;
    }
  })
  .meta({ format: "network", jsonSchema: { type: "string" } });

/** For the meta of a list: `{ file: PATH }` may stand in its place (list-files.ts), with such an entry on each line. */
export const listOfDomains = { fileList: "domain" } as const;
export const listOfNetworks = { fileList: "network" } as const;
export const listOfRoutes = { fileList: "route" } as const;

const notDomain = "is not a domain: write example.com or *.example.com";

function withoutWildcard(domain: string): string {
  return domain.replace(/^\*\./, "");
}

/** A domain, or `*.domain` for all below it. Kept in lower case. */
export const domainPattern = z
  .string()
  .regex(/^(\*\.)?[^\s*@/:]+$/, { error: notDomain, abort: true })
  .refine((value) => isHostName(withoutWildcard(value)), notDomain)
  .transform((value) => value.toLowerCase())
  .meta({ format: "domain" });

const notDestination =
  "is not a destination: write example.com, *.example.com, *, 192.0.2.25 or 2001:db8::25";

/** `*`, a domain pattern, or the IP address of a host, with or without brackets. Kept in lower case. */
export const destinationPattern = z
  .string()
  .regex(/^(\*|(\*\.)?[^\s*@/:[\]]+|[0-9A-Fa-f:.]+|\[([Ii][Pp][Vv]6:)?[0-9A-Fa-f:.]+\])$/, {
    error: notDestination,
    abort: true,
  })
  .refine(
    (value) => value === "*" || literalAddress(value) !== undefined || isHostName(withoutWildcard(value)),
    notDestination,
  )
  .transform((value) => value.toLowerCase())
  .meta({ format: "destination" });

const notAddressPattern =
  "is not an address pattern: write user@example.com, *@example.com, *@*.example.com, <> or *";

/** `*`, `user@domain`, `*@domain`, `*@*.domain`; `<>` is the null sender. */
export const addressPattern = z
  .string()
  .regex(/^(\*|<>|(\*|[^\s@*]+)@(\*\.)?[^\s@*]+)$/, { error: notAddressPattern, abort: true })
  .refine((value) => {
    const domain = withoutWildcard(value.slice(value.lastIndexOf("@") + 1));
    return !value.includes("@") || literalAddress(domain) !== undefined || isHostName(domain);
  }, notAddressPattern)
  .meta({ format: "address pattern" });

/** `host:port`, `[v6]:port`, or without the port: 25. */
export const server = z
  .string()
  .transform((value, context) => {
    const parsed = parseHostPort(value, 25);
    if (parsed) return parsed;
    context.addIssue({
      code: "custom",
      message: "is not a server: write 203.0.113.25:25, [2001:db8::25]:25 or mail.example.com:25",
    });
    return z.NEVER;
  })
  .meta({ format: "server", jsonSchema: { type: "string" } });

/** For configured hosts: MTA-STS is for MX hosts only. */
export const hostTlsLevel = z.enum(["none", "may", "require", "verify", "dane"]);

/** For the MX hosts of domains. */
export const mxTlsLevel = z.enum(["none", "may", "require", "verify", "dane", "mta-sts"]);

/** The next hop that a `via` names. */
export type Via =
  | { kind: "mx" }
  /** An entry of `relay.hosts`. */
  | { kind: "relay"; name: string }
  | { kind: "host"; host: HostPort };

/**
 * Reads a `via`. Names of `relay.hosts` come before hosts; no relay host may be called `mx`.
 * @returns `undefined` when it names nothing, as a host without a port
 */
export function parseVia(text: string, isRelayHost: (name: string) => boolean): Via | undefined {
  if (text === "mx") return { kind: "mx" };
  if (isRelayHost(text)) return { kind: "relay", name: text };
  const host = parseHostPort(text);
  return host === undefined ? undefined : { kind: "host", host };
}
