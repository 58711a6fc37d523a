/** Schema of listeners, their certificates, and the interception in front of them. */
import { z } from "zod";
import { duration, listenPort, listOfNetworks, network, port, text } from "./values.ts";

const certificate = z.strictObject({
  cert: text.describe("PEM file with the certificate chain; relative to the configuration file."),
  key: text.describe("PEM file with the private key, not encrypted; relative to the configuration file."),
});

export const certificates = certificate.extend({
  sni: z
    .record(z.string(), certificate)
    .default({})
    .describe("Further certificates by the server name that the client requests (SNI)."),
});

const pickup = z.strictObject({
  incoming: z
    .enum(["proxy", "pass", "drop"])
    .default("proxy")
    .describe("Connections to a server of a protected domain."),
  outgoing: z.enum(["proxy", "pass", "drop"]).default("proxy").describe("Connections to any other server."),
  local: z
    .enum(["allow", "reject"])
    .default("allow")
    .describe("Connections to the gateway itself: `allow` queues their mail, `reject` refuses them."),
});

export const listener = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/, "is not a name: letters, digits, '.', '-' and '_' only")
    .describe("The listener's name in logs, metrics and `postern explain`; unique."),
  address: z
    .string()
    .default("0.0.0.0")
    .describe(
      "An IP address of this machine. `0.0.0.0` means all IPv4 addresses, `::` all IPv6 and IPv4 addresses.",
    ),
  port: listenPort.describe("The TCP port. 0: any free port, which is logged."),
  destination: z
    .enum(["tproxy", "redirect", "proxy", "self"])
    .default("self")
    .describe(
      "How to find the original destination of a connection: from the kernel (`tproxy`, `redirect`), from a PROXY v1 or v2 header (`proxy`), or none, since clients connect to this gateway itself (`self`).",
    ),
  trusted_proxies: z
    .array(network)
    .meta(listOfNetworks)
    .prefault([])
    .describe(
      "Networks of the proxies that send a PROXY header; other connections are closed. Required with `destination: proxy`.",
    ),
  pickup: pickup
    .prefault({})
    .describe(
      "What to do with connections, by direction. `proxy`: handle by the routing table. `pass`: tunnel to the original destination, without reading. `drop`: close at once, without a greeting.",
    ),
  shadow: z
    .boolean()
    .default(false)
    .describe(
      "Classify and log only: connections to other servers are tunnelled to them. Local connections are handled as `pickup.local` says.",
    ),
  bare_newline: z
    .enum(["refuse", "normalise"])
    .default("refuse")
    .describe(
      "Bare CR or LF in a message of a queued session: `refuse` with 550 5.6.11, or `normalise` to CRLF.",
    ),
  early_talker: duration
    .prefault(0)
    .describe(
      "Wait this long before the greeting, and refuse clients that send data before it. 0: no check.",
    ),
  tls: certificates.optional().describe("Used instead of the top-level `tls`."),
  auth: z
    .boolean()
    .default(true)
    .describe(
      "Offer AUTH in the queued sessions of this listener, where the top-level `auth` and a certificate are given.",
    ),
});

export const intercept = z.strictObject({
  interfaces: z
    .array(text)
    .optional()
    .describe("Network interfaces on which clients arrive. Absent: all except loopback."),
  ports: z.array(port).default([25, 587]).describe("Destination ports that are redirected to the gateway."),
  pass_ports: z
    .array(port)
    .default([465])
    .describe(
      "Destination ports that are tunnelled without reading, whichever way a listener learns the destination.",
    ),
  fail: z
    .enum(["open", "closed"])
    .default("open")
    .describe(
      "What happens to connections while no ingress service is listening. `open`: they reach their servers directly. `closed`: they are refused.",
    ),
});
