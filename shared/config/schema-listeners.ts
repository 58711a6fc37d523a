/** Where clients come in: listeners, their certificates, and the interception in front of them. */
import { z } from "zod";
import { duration, listenPort, network, port, text } from "./values.ts";

const certificate = z.strictObject({
  cert: text.describe("PEM file with the certificate chain; relative to the configuration file."),
  key: text.describe("PEM file with the private key, not encrypted; relative to the configuration file."),
});

export const certificates = certificate.extend({
  sni: z
    .record(z.string(), certificate)
    .default({})
    .describe("Other certificates by the server name that the client asks for."),
});

const pickup = z.strictObject({
  incoming: z
    .enum(["proxy", "pass", "drop"])
    .default("proxy")
    .describe("Connections to a protected domain's server."),
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
    .describe("Names the listener in logs, metrics and `postern explain`; each name once."),
  address: z
    .string()
    .default("0.0.0.0")
    .describe("An IP address of this machine. `0.0.0.0` is all of IPv4, `::` listens on IPv6 and IPv4."),
  port: listenPort.describe("The TCP port; 0 takes any free one, which the log names."),
  destination: z
    .enum(["tproxy", "redirect", "proxy", "self"])
    .default("self")
    .describe(
      "Where the original destination comes from: the kernel (`tproxy`, `redirect`), a PROXY v1/v2 header (`proxy`), or the client means this gateway (`self`).",
    ),
  trusted_proxies: z
    .array(network)
    .prefault([])
    .describe(
      "Who may send a PROXY header; anyone else's connection is closed. `destination: proxy` needs it.",
    ),
  pickup: pickup
    .prefault({})
    .describe(
      "What to do with connections by direction. `proxy`: handle by the routing table. `pass`: a TCP tunnel to the original destination, nothing read. `drop`: closed at once, no greeting.",
    ),
  shadow: z
    .boolean()
    .default(false)
    .describe(
      "Classify and log only: every connection to another server is tunnelled to it. Local connections, which have no other server, are handled as `pickup.local` says.",
    ),
  bare_newline: z
    .enum(["refuse", "normalise"])
    .default("refuse")
    .describe("Bare CR or LF in a queued session: refuse with 550 5.6.11, or make them CRLF."),
  early_talker: duration
    .prefault(0)
    .describe("Wait this long before the greeting, and refuse clients that talk before it; 0: no check."),
  tls: certificates.optional().describe("In place of the top-level `tls`."),
});

export const intercept = z.strictObject({
  interfaces: z
    .array(text)
    .optional()
    .describe("Network interfaces that clients come in by. Absent: all but loopback."),
  ports: z.array(port).default([25, 587]).describe("Destination ports that are led to the gateway."),
  pass_ports: z.array(port).default([465]).describe("Destination ports that are tunnelled, never read."),
  fail: z
    .enum(["open", "closed"])
    .default("open")
    .describe(
      "What happens to sessions while no ingress listens: `open` lets them through to their servers, `closed` refuses them.",
    ),
});
