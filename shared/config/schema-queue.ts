/** Schema of the queue, DSNs, limits, delivery and time-outs. */
import { z } from "zod";
import { maxShards } from "../mail/queue-id.ts";
import { destinationPattern, duration, mxTlsLevel, rate, size, text } from "./values.ts";

export const queue = z.strictObject({
  shards: z
    .int()
    .min(1)
    .max(maxShards)
    .default(1)
    .describe(
      "Over how many shards the queues and the events are spread. The keys of a shard are one hash slot of a Redis Cluster, so that several primaries share the work; a single Redis gains nothing. 1: the prefix of all keys is `{postern}`. Otherwise messages accepted from now on go to `{postern-0}` and so on, and what the former shards have is delivered from there. At most 32.",
    ),
  retry: z
    .array(duration)
    .min(1)
    .prefault(["5m", "10m", "20m", "40m", "1h"])
    .describe("Waits between attempts. The last one repeats; each is varied at random."),
  slow_after: z.int().min(1).default(3).describe("Attempts after which a message moves to the slow queue."),
  expire: duration
    .prefault("5d")
    .describe(
      "How long delivery is tried before the sender gets a failure notification (RFC 5321 §4.5.4.1).",
    ),
  dsn_expire: duration.prefault("5d").describe("How long delivery of a DSN is tried. 0: one attempt."),
  delay_warning: duration
    .prefault("4h")
    .describe("After how long the sender is warned that a message is delayed. 0: never."),
  dead_retention: duration
    .prefault("14d")
    .describe("How long mail that can be neither delivered nor returned is kept in the dead queue."),
});

export const dsn = z.strictObject({
  to: z
    .enum(["all", "local", "none"])
    .default("all")
    .describe(
      "Which senders get notifications. `local`: those who may relay, from `relay.clients` or logged in; the addresses of others may be forged. `none`: nobody. A failure whose notification is withheld goes to the dead queue.",
    ),
  delays_to: z
    .enum(["all", "local", "none"])
    .default("local")
    .describe("Likewise for delay warnings; `to` holds for them too."),
  from: text.optional().describe("The From address of DSNs. Absent: `MAILER-DAEMON@` and `hostname`."),
  name: text.default("Mail Delivery System").describe("The display name of the From address."),
  attach: z
    .enum(["headers", "full", "none"])
    .default("headers")
    .describe("How much of the original message a DSN contains, unless the sender chose it with RET."),
  max_attach: size.prefault("64KB").describe("Of a larger original a DSN contains the headers only."),
  wave: duration
    .prefault("1s")
    .describe(
      "The aggregation window: failures of one message within this time share one DSN, and so do its delays.",
    ),
});

const burst = z.int().min(1);

const destination = z.strictObject({
  match: destinationPattern.describe(
    "A domain, `*.domain` for all below it, or `*`. For relay hosts, protected servers, hosts that a route names and MX hosts: their name or address.",
  ),
  connections: z
    .int()
    .min(1)
    .optional()
    .describe(
      "Connections at once, to the destination and to each of its MX hosts, whatever other domains these serve. An MX host that no entry names by its name or address may have as many as `*` or the domain. Absent: 20.",
    ),
  messages_per_connection: z
    .int()
    .min(1)
    .optional()
    .describe("Messages over one connection before it is closed. Absent: 100."),
  rate: rate.optional().describe("Messages in a period, evenly spaced after `burst`. Absent: no limit."),
  burst: burst
    .optional()
    .describe("Messages of `rate` that may go at once, after a time without any. Absent: all of a period."),
});

export const limits = z.strictObject({
  connections: z
    .int()
    .min(0)
    .default(2000)
    .describe(
      "Connections of all clients at once, in each ingress process; further ones get 421 4.3.2 instead of the greeting. 0: no limit.",
    ),
  message: size
    .prefault("50MB")
    .describe("Largest message in queued sessions; larger ones are refused with 552 5.3.4."),
  recipients: z
    .int()
    .min(1)
    .default(1000)
    .describe("Most recipients of a message; further ones are refused with 452 4.5.3."),
  envelopes: size
    .prefault("64MB")
    .describe(
      "Memory for the envelopes of all open transactions in each ingress process: 512 octets for each recipient, and twice the length of its address and ORCPT. A single one may have 1 KB for each of `recipients`. Further recipients are refused with 452 4.3.1. 0: no limit for all together.",
    ),
  pressure: z
    .strictObject({
      disk_free: size
        .prefault("64MB")
        .describe(
          "Free space on the disk of the spool below which messages are refused with 452 4.3.1, also those that would leave less by the SIZE they declare. Messages that have begun may use all but 64 MB, which are kept for settling what was accepted.",
        ),
      disk_latency: duration
        .prefault("10s")
        .describe(
          "When a write to the spool takes longer, messages are refused with 451 4.3.0 until a write takes less than half of it. They are as well while writes fail. 0: slow writes refuse nothing.",
        ),
      redis_memory: z
        .int()
        .min(0)
        .max(100)
        .default(95)
        .describe(
          "Percent of Redis' `maxmemory` from which messages are refused with 452 4.3.1: what is left is for the mail that is queued. Mail of the spool is restored after a loss of Redis up to 75 % of `maxmemory`, and to 85 % of this value where that is less. While Redis is out of reach nothing is refused. 0: never.",
        ),
      memory: z
        .int()
        .min(0)
        .max(100)
        .default(80)
        .describe(
          "Percent of the memory that an ingress process may have (by its control group, or the machine's) from which connections are refused with 421 4.3.2 and messages with 452 4.3.1. 0: never.",
        ),
    })
    .prefault({})
    .describe(
      "When an ingress process refuses mail because there is too much of it. Each ends by itself, a little below its threshold; the log has one line at its beginning and one at its end.",
    ),
  hops: z
    .int()
    .min(1)
    .default(100)
    .describe(
      "Most Received fields of a message; one with more is in a loop and refused with 554 5.4.6 (RFC 5321 §6.3).",
    ),
  clients: z
    .strictObject({
      connections: z
        .int()
        .min(0)
        .default(100)
        .describe("Connections at once; further ones get 421 4.7.0 instead of the greeting. 0: no limit."),
      rate: rate
        .optional()
        .describe(
          "Messages (MAIL commands) in a period, evenly spaced after `burst`; further ones are refused with 450 4.7.1. Absent: no limit.",
        ),
      burst: burst
        .optional()
        .describe(
          "Messages of `rate` that may come at once, after a time without any. Absent: all of a period.",
        ),
    })
    .prefault({})
    .describe(
      "Per client address, over all processes; an IPv6 /64 network counts as one address. `connections` holds for tunnels too, `rate` for queued sessions and the outgoing proxy.",
    ),
  destinations: z
    .array(destination)
    .prefault([{ match: "*", connections: 20, messages_per_connection: 100 }])
    .describe("Per destination, over all processes. The first match wins."),
  dead_destination: duration
    .prefault("1m")
    .describe(
      "How long a destination counts as dead after none of its hosts answered: its messages are deferred with the cached failure, without an attempt. The time doubles with each failed probe, up to ten times this value and at most half of the waits of `queue.retry`. 0: every message is attempted.",
    ),
});

const mxTls = z.strictObject({
  match: destinationPattern.describe(
    "The recipients' domain, `*.domain` for all below it, or `*`; or the name or address of a host that a route names.",
  ),
  policy: mxTlsLevel.describe(
    "`none`: no TLS. `may`: TLS if offered, without a certificate check, and clear text when TLS fails. `require`: defer without TLS. `verify`: defer without a certificate that is valid for the MX host's name, or DANE where it is published. `dane`: defer without DANE (RFC 7672). `mta-sts`: defer unless the host satisfies the domain's MTA-STS policy (RFC 8461) in mode `enforce` or `testing`, or DANE; for a host that a route names, the same as `verify`.",
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
    .describe(
      "Local IP addresses to deliver from, IPv4 and IPv6: one at random for each connection, and the next where that one cannot be used. Absent: the system's choice.",
    ),
  loopback: z
    .enum(["refuse", "allow"])
    .default("refuse")
    .describe(
      "Where the MX of a domain, the domain's own address or an address literal leads to this machine: to loopback, to 0.0.0.0 or ::, or to one of the gateway's own addresses. `refuse`: the mail has come back, and is returned with 5.4.6, unless a preferred MX host takes it. `allow`: for labs, and where another mail server on this machine takes mail on port 25. Servers that the configuration names are not concerned.",
    ),
  tls: z
    .array(mxTls)
    .prefault([])
    .describe(
      "TLS with the MX hosts of domains and with hosts that a route names (`via: host:port`). The first match wins; without a match: `may`. Policies that a domain publishes by DANE or MTA-STS apply in addition, except with `none`. Relay hosts and protected servers have their own `tls`.",
    ),
  dane: z
    .boolean()
    .default(true)
    .describe(
      "Follow the TLSA records that hosts publish (RFC 7672). This needs a validating resolver on this machine, or `dns.trust_ad`: with other name servers no TLSA records are used.",
    ),
  mta_sts: z
    .boolean()
    .default(true)
    .describe(
      "Follow the MTA-STS policies that domains publish (RFC 8461), which are stored in `data/mta-sts`. DANE comes first.",
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
  attempt: duration
    .prefault("1h")
    .describe(
      "For a whole attempt to deliver a message, over all hosts. After it recipients without an answer are deferred; only a server that has been sent the whole message still has its `dot`.",
    ),
  inline: duration
    .prefault("10s")
    .describe(
      "In inline delivery: how long the client waits for the remote server at each command, and the longest pause of the client within the message. From MAIL to DATA the client has twice this time. After that the queue takes over. For the reply to the final dot it is `dot`, but at most 5m, since giving up there could deliver a second copy.",
    ),
  client: duration
    .prefault("5m")
    .describe(
      "For the next command of a client, from our last reply to the end of its line, and for the next data of its message. After five minutes a message must also come at 500 octets a second on average.",
    ),
  session: duration
    .prefault("1h")
    .describe(
      "For a client's whole session. A transaction that is open then may finish: its commands within `client`, the data of its message within as long as the session.",
    ),
  tunnel: duration.prefault("2h").describe("For traffic in a tunnel."),
});
