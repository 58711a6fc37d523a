/** Schema of protected domains, the outgoing proxy's policy, relay hosts and routes. */
import { z } from "zod";
import {
  addressPattern,
  domainPattern,
  duration,
  hostTlsLevel,
  listOfDomains,
  listOfNetworks,
  listOfRoutes,
  network,
  port,
  server,
  text,
} from "./values.ts";

export const protectedEntry = z.strictObject({
  domains: z
    .array(domainPattern)
    .min(1)
    .meta(listOfDomains)
    .describe(
      "`example.com` is that domain alone, `*.example.com` all domains below it. The most specific pattern of all entries decides.",
    ),
  servers: z
    .array(server)
    .min(1)
    .describe(
      "The servers of the domains in order of preference; the default port is 25. Connections of clients to these servers are *incoming*, where a server is given by IP address: host names are resolved at delivery only.",
    ),
  use_server_for_outgoing: z
    .boolean()
    .default(false)
    .describe(
      "Mail for other domains from a client that connected to one of these servers is delivered by that server too.",
    ),
  inline: z
    .boolean()
    .default(true)
    .describe(
      "Deliver while the client waits, so that it gets the server's own reply. The queue is the fallback.",
    ),
  hide: z
    .boolean()
    .default(false)
    .describe(
      "Hide the gateway: the server sees the client's own address and HELO name, and no Received field is added. Servers of the client's address family are tried first. Using the client's address needs `postern intercept up` and CAP_NET_ADMIN where the connection is opened; otherwise the log and `postern explain` say that the gateway is visible.",
    ),
  tls: hostTlsLevel
    .default("may")
    .describe(
      "TLS with the servers. `none`: no TLS. `may`: TLS if offered, without a certificate check. `require`: defer without TLS. `verify`: defer without a certificate that is valid for the host's name, or DANE where it is published. `dane`: defer without DANE (RFC 7672). `delivery.dane` applies here too, except with `none`.",
    ),
});

const exception = z
  .strictObject({
    clients: z
      .array(network)
      .meta(listOfNetworks)
      .optional()
      .describe("Networks of clients that the exception is for. Absent: all."),
    servers: z
      .array(network)
      .meta(listOfNetworks)
      .optional()
      .describe("Networks of servers that the exception is for. Absent: all."),
    client_server: z.enum(["permit", "insist"]).describe("Used instead of `outgoing.client_server`."),
  })
  .refine(
    (value) => value.clients !== undefined || value.servers !== undefined,
    "needs `clients`, `servers` or both",
  );

export const outgoing = z.strictObject({
  client_server: z
    .enum(["permit", "insist"])
    .default("permit")
    .describe(
      "`permit`: clients may use the server that they chose. `insist`: the gateway takes the mail into its queue and delivers it by the routes.",
    ),
  on_failure: z
    .union([z.literal("drop"), z.literal("421"), z.literal(421)])
    .transform((value) => (value === "drop" ? ("drop" as const) : ("421" as const)))
    .prefault("drop")
    .describe(
      "When the client's server cannot be reached or closes the connection: `drop` closes the client's connection, `421` sends 421 4.4.1 before.",
    ),
  starttls: z
    .enum(["pass", "strip"])
    .default("pass")
    .describe(
      "`pass`: STARTTLS is passed on, and the session is opaque from then on. `strip`: STARTTLS is not offered and refused with 502 5.5.1.",
    ),
  require_auth: z
    .boolean()
    .default(false)
    .describe(
      "Refuse MAIL with 530 5.7.0 until the server has accepted AUTH. The gateway cannot see this inside TLS: use `starttls: strip` to enforce it in every session. Like every policy of the outgoing proxy it ends sessions that the server may read in another way: docs/security.md.",
    ),
  xclient: z
    .enum(["pass", "refuse"])
    .default("pass")
    .describe(
      "XCLIENT and XFORWARD, with which trusted clients name another client to the server. `refuse`: not offered, and refused with 502 5.5.1.",
    ),
  hide: z
    .boolean()
    .default(false)
    .describe(
      "The remote server sees the client's own address, also through tunnels (`pickup: pass`, `shadow`, `pass_ports`). Needs `postern intercept up` and CAP_NET_ADMIN.",
    ),
  exceptions: z
    .array(exception)
    .prefault([])
    .describe(
      "Other policies for some clients, some servers, or some clients of some servers. The first match wins.",
    ),
});

const relayHost = z.strictObject({
  host: text.describe("Host name or IP address."),
  port: port.default(25).describe("TCP port."),
  tls: hostTlsLevel
    .default("may")
    .describe(
      "`none`: no TLS. `may`: TLS if offered, without a certificate check. `require`: defer without TLS. `verify`: defer without a certificate that is valid for the host's name, or DANE where it is published. `dane`: defer without DANE (RFC 7672). `delivery.dane` applies here too, except with `none`. A password is sent under TLS only, unless this is `none` or the host is this machine.",
    ),
  auth: z
    .strictObject({
      user: text.describe("User name for AUTH."),
      password: z.string().describe("Password for AUTH; an environment variable keeps it out of the file."),
    })
    .optional()
    .describe("Log in with AUTH PLAIN or LOGIN. Absent: no AUTH."),
});

export const relayRoute = z
  .strictObject({
    to: addressPattern
      .optional()
      .describe(
        "The recipient: `user@example.com`, `*@example.com`, `*@*.example.com` (domains below it) or `*`. Absent: any.",
      ),
    from: addressPattern.optional().describe("The sender, likewise; `<>` is the null sender. Absent: any."),
    via: text.describe("A name of `relay.hosts`, `host:port`, `[v6]:port`, or `mx`."),
  })
  .refine((value) => value.to !== undefined || value.from !== undefined, "needs `to`, `from` or both");

const backup = z.strictObject({
  via: text.describe("A name of `relay.hosts`, `host:port`, `[v6]:port`, or `mx`."),
  after: duration.prefault("1h").describe("How long delivery must have failed before the backup is used."),
  on: z
    .array(z.enum(["dns", "connect", "network", "4xx", "5xx"]))
    .default(["dns", "connect", "network", "4xx"])
    .describe(
      "Which failures count. When the backup fails too, attempts alternate between the backup and the route, unless `5xx` is listed: then the route may have refused permanently.",
    ),
});

export const relay = z.strictObject({
  clients: z
    .array(network)
    .meta(listOfNetworks)
    .prefault(["127.0.0.0/8", "::1"])
    .describe(
      "Networks of clients that may send to unprotected recipients through the queue. Others have to log in, where `auth` is given.",
    ),
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
    .meta(listOfRoutes)
    .prefault([])
    .describe("Next hops of mail for unprotected recipients. The first match wins; without a match: `mx`."),
  backup: backup.optional().describe("A second next hop for relayed mail, used after failures."),
});
