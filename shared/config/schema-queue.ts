/** How mail waits, is retried, limited and returned: queue, DSNs, limits, delivery, time-outs. */
import { z } from "zod";
import { destinationPattern, duration, mxTlsLevel, rate, size, text } from "./values.ts";

export const queue = z.strictObject({
  retry: z
    .array(duration)
    .min(1)
    .prefault(["5m", "10m", "20m", "40m", "1h"])
    .describe("Waits between attempts; the last repeats; each with jitter."),
  slow_after: z.int().min(1).default(3).describe("Attempts before a message moves to the slow queue."),
  expire: duration
    .prefault("5d")
    .describe("How long a message is tried before it goes back to its sender (RFC 5321 §4.5.4.1)."),
  dsn_expire: duration.prefault("5d").describe("The same for DSNs; 0: one attempt."),
  delay_warning: duration
    .prefault("4h")
    .describe("When the sender is told that a message is still on its way; 0: never."),
  dead_retention: duration.prefault("14d").describe("How long undeliverable DSNs and their like are kept."),
});

export const dsn = z.strictObject({
  from: text.optional().describe("The From address of DSNs. Absent: MAILER-DAEMON@ and the host name."),
  name: text.default("Mail Delivery System").describe("The display name of the From address."),
  attach: z
    .enum(["headers", "full", "none"])
    .default("headers")
    .describe("What of the original a DSN carries when the sender did not say (RET)."),
  max_attach: size.prefault("64KB").describe("A larger original is cut down to its headers."),
  wave: duration
    .prefault("1s")
    .describe("Failures of one message that come within this time share one DSN, and so do its delays."),
});

const destination = z.strictObject({
  match: destinationPattern.describe(
    "A domain, `*.domain` for all below it, `*`; or, for relay hosts, protected servers and hosts that a route names, their name or address.",
  ),
  connections: z.int().min(1).optional().describe("Connections at once. Absent: 20."),
  messages_per_connection: z
    .int()
    .min(1)
    .optional()
    .describe("Messages over one connection before it is closed. Absent: 100."),
  rate: rate.optional().describe("Messages in a time. Absent: no limit."),
});

export const limits = z.strictObject({
  message: size.prefault("50MB").describe("Size of a message in queued sessions; larger: 552 5.3.4."),
  recipients: z.int().min(1).default(1000).describe("Recipients of a message; more: 452 4.5.3."),
  hops: z
    .int()
    .min(1)
    .default(100)
    .describe("Received fields; a message with more is in a loop: 554 5.4.6 (RFC 5321 §6.3)."),
  clients: z
    .strictObject({
      connections: z
        .int()
        .min(1)
        .optional()
        .describe("Connections at once; more: 421 4.7.0 in place of the greeting. Absent: no limit."),
      rate: rate
        .optional()
        .describe("Messages (MAIL commands) in a time; more: 450 4.7.1. Absent: no limit."),
    })
    .prefault({})
    .describe(
      "Per client address, an IPv6 network of /64 counting as one, cluster-wide; for queued sessions and the outgoing proxy.",
    ),
  destinations: z
    .array(destination)
    .prefault([{ match: "*", connections: 20, messages_per_connection: 100 }])
    .describe("Per destination, cluster-wide; first match wins."),
  dead_destination: duration
    .prefault("1m")
    .describe(
      "How long a destination is left alone after no host of it answered, while its other messages are deferred with what the one found out; doubles with each probe that fails, up to ten times this, and never exceeds half of the waits of `queue.retry`; 0: each message is a try of its own.",
    ),
});

const mxTls = z.strictObject({
  match: destinationPattern.describe(
    "The recipients' domain, `*.domain` for all below it, `*`; or the name or address of a host that a route names.",
  ),
  policy: mxTlsLevel.describe(
    "`none`: never. `may`: if offered, no certificate check; in clear text when TLS fails. `require`: or defer. `verify`: with a certificate that is valid for the MX host's name, or DANE where it is published. `dane`: with DANE (RFC 7672), or defer. `mta-sts`: as the domain's MTA-STS policy (RFC 8461) says, be its mode `enforce` or `testing`, or with DANE, or defer; for a host that a route names, `verify`.",
  ),
});

export const delivery = z.strictObject({
  concurrency: z
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe("Attempts at once in each delivery worker process."),
  source_addresses: z
    .array(text)
    .default([])
    .describe("Local IP addresses to deliver from, IPv4 and IPv6. Absent: the system's choice."),
  tls: z
    .array(mxTls)
    .prefault([])
    .describe(
      "TLS towards the MX hosts of domains, and towards hosts that a route names (`via: host:port`); first match wins; without a match: `may`. What a domain publishes by DANE or MTA-STS comes on top of every policy but `none`. Relay hosts and protected servers have a `tls` of their own.",
    ),
  dane: z
    .boolean()
    .default(true)
    .describe(
      "Hold to the TLSA records that hosts publish (RFC 7672). Only what a validating resolver on this machine vouches for counts: with other name servers nothing is looked up.",
    ),
  mta_sts: z
    .boolean()
    .default(true)
    .describe(
      "Hold to the MTA-STS policies that domains publish (RFC 8461); they are kept in `data/mta-sts`. DANE comes first.",
    ),
});

export const timeouts = z.strictObject({
  connect: duration.prefault("30s").describe("To connect to a server."),
  greeting: duration.prefault("5m").describe("For the server's greeting."),
  ehlo: duration.prefault("5m").describe("For the reply to EHLO or HELO."),
  mail: duration.prefault("5m").describe("For the reply to MAIL."),
  rcpt: duration.prefault("5m").describe("For the reply to RCPT."),
  data: duration.prefault("2m").describe("For the reply to DATA."),
  body: duration.prefault("3m").describe("For each block of the message."),
  dot: duration.prefault("10m").describe("For the reply to the final dot."),
  quit: duration.prefault("10s").describe("For the reply to QUIT."),
  inline: duration
    .prefault("10s")
    .describe(
      "What a client waits for the far server at each command when mail is delivered inline, and the longest pause of such a client; beyond it the queue takes over. The final dot has `dot`, 5m at most: giving up there would make a second copy.",
    ),
  client: duration.prefault("5m").describe("A client that says nothing."),
  session: duration.prefault("1h").describe("A client's session as a whole; transactions under way finish."),
  tunnel: duration.prefault("2h").describe("A tunnel without traffic."),
});
