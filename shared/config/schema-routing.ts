/** Where mail goes: protected domains, the outgoing proxy's policy, relay hosts and routes. */
import { z } from "zod";
import {
  addressPattern,
  domainPattern,
  duration,
  hostTlsLevel,
  network,
  port,
  server,
  text,
} from "./values.ts";

export const protectedEntry = z.strictObject({
  domains: z
    .array(domainPattern)
    .min(1)
    .describe(
      "`example.com` is that domain alone, `*.example.com` all below it. The most specific pattern of all entries decides.",
    ),
  servers: z
    .array(server)
    .min(1)
    .describe(
      "The domains' own servers in order of preference; port 25 when none is given. Connections to them are *incoming*; for that only IP addresses count, since a host name is looked up at delivery only.",
    ),
  use_server_for_outgoing: z
    .boolean()
    .default(false)
    .describe("Mail for others that a client sends through one of these servers goes on by that server."),
  inline: z
    .boolean()
    .default(true)
    .describe("Try the far server while the client waits; the queue is the fallback."),
  hide: z
    .boolean()
    .default(false)
    .describe(
      "The server sees the client's own address and HELO name, and no Received is added. Servers of the client's address family are tried first. The address needs `postern intercept up` and CAP_NET_ADMIN where the connection is opened; elsewhere the log and `postern explain` say that it is not hidden.",
    ),
  tls: hostTlsLevel
    .default("may")
    .describe(
      "TLS towards the servers. `none`: never. `may`: if offered, no certificate check. `require`: or defer. `verify`: with a certificate that is valid for the host's name, or DANE where it is published. `dane`: with DANE (RFC 7672), or defer. But for `none`, `delivery.dane` holds here too.",
    ),
});

const exception = z
  .strictObject({
    clients: z.array(network).optional().describe("Client networks that it is for. Absent: all."),
    servers: z.array(network).optional().describe("Server networks that it is for. Absent: all."),
    client_server: z.enum(["permit", "insist"]).describe("In place of `outgoing.client_server`."),
  })
  .refine(
    (value) => value.clients !== undefined || value.servers !== undefined,
    "needs `clients`, `servers` or both",
  );

export const outgoing = z.strictObject({
  client_server: z
    .enum(["permit", "insist"])
    .default("permit")
    .describe("`permit`: let clients use the server they chose. `insist`: carry the mail ourselves."),
  on_failure: z
    .union([z.literal("drop"), z.literal("421"), z.literal(421)])
    .transform((value) => (value === "drop" ? ("drop" as const) : ("421" as const)))
    .prefault("drop")
    .describe("When the client's server cannot be reached or goes away: just close, or say 421 4.4.1 first."),
  starttls: z
    .enum(["pass", "strip"])
    .default("pass")
    .describe("`pass`: the session is opaque from then on. `strip`: not offered, refused with 502 5.5.1."),
  require_auth: z
    .boolean()
    .default(false)
    .describe(
      "No MAIL before the server has accepted AUTH: 530 5.7.0. Inside the TLS of a STARTTLS that is passed nobody can see that, so it takes `starttls: strip` to hold every session to it.",
    ),
  xclient: z
    .enum(["pass", "refuse"])
    .default("pass")
    .describe(
      "XCLIENT and XFORWARD, by which clients that the server trusts name another client. `refuse`: not offered, answered 502 5.5.1.",
    ),
  hide: z
    .boolean()
    .default(false)
    .describe(
      "The far server sees the client's own address; through tunnels (`pickup: pass`, `shadow`, `pass_ports`) too. Needs `postern intercept up` and CAP_NET_ADMIN.",
    ),
  exceptions: z
    .array(exception)
    .prefault([])
    .describe(
      "Other policies for some clients, some servers, or some clients of some servers; first match wins.",
    ),
});

const relayHost = z.strictObject({
  host: text.describe("Host name or IP address."),
  port: port.default(25).describe("TCP port."),
  tls: hostTlsLevel
    .default("may")
    .describe(
      "`none`: never. `may`: if offered, no certificate check. `require`: or defer. `verify`: with a certificate that is valid for the host's name, or DANE where it is published. `dane`: with DANE (RFC 7672), or defer. But for `none`, `delivery.dane` holds here too. A password goes out under TLS only, unless this says `none` or the host is this machine.",
    ),
  auth: z
    .strictObject({
      user: text.describe("User name for AUTH."),
      password: z.string().describe("Password for AUTH; an environment variable keeps it out of the file."),
    })
    .optional()
    .describe("Log in with AUTH PLAIN or LOGIN. Absent: no AUTH."),
});

const relayRoute = z
  .strictObject({
    to: addressPattern
      .optional()
      .describe(
        "The recipient: `user@example.com`, `*@example.com`, `*@*.example.com` (below it) or `*`. Absent: any.",
      ),
    from: addressPattern.optional().describe("The sender, likewise; `<>` is the null sender. Absent: any."),
    via: text.describe("A name of `relay.hosts`, `host:port`, `[v6]:port`, or `mx`."),
  })
  .refine((value) => value.to !== undefined || value.from !== undefined, "needs `to`, `from` or both");

const backup = z.strictObject({
  via: text.describe("A name of `relay.hosts`, `host:port`, `[v6]:port`, or `mx`."),
  after: duration.prefault("1h").describe("How long deliveries must have failed before it takes over."),
  on: z
    .array(z.enum(["dns", "connect", "network", "4xx", "5xx"]))
    .default(["dns", "connect", "network", "4xx"])
    .describe(
      "Which failures count. When a backup host fails too, it and the route take turns, unless `5xx` counts: then the route may have refused for good.",
    ),
});

export const relay = z.strictObject({
  clients: z
    .array(network)
    .prefault(["127.0.0.0/8", "::1"])
    .describe("Who may send to unprotected recipients through the queue. Others must authenticate."),
  hosts: z
    .record(
      z
        .string()
        .regex(
          /^(?!mx$)[\w-]+$/,
          "is not a relay host's name: letters, digits, '-' and '_' only, and not 'mx'",
        ),
      relayHost,
    )
    .default({})
    .describe("Relay hosts by the names that `via` takes."),
  routes: z
    .array(relayRoute)
    .prefault([])
    .describe("How mail for unprotected recipients goes on; first match wins; without a match: mx."),
  backup: backup.optional().describe("Takes over relayed deliveries that failed in these ways for so long."),
});
