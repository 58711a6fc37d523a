/** The schema of the configuration: the source of validation, defaults, the reference page and the JSON Schema. Pure. */
import { z } from "zod";
import { auth } from "./schema-auth.ts";
import { certificates, intercept, listener } from "./schema-listeners.ts";
import { delivery, dsn, limits, queue, timeouts } from "./schema-queue.ts";
import { outgoing, protectedEntry, relay } from "./schema-routing.ts";
import { admin, dns, events, health, log, redis, tracing } from "./schema-services.ts";
import { spool } from "./schema-spool.ts";
import { text } from "./values.ts";

export const configSchema = z.strictObject({
  hostname: z
    .string()
    .regex(
      /^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/,
      "is not a host name",
    )
    .describe("The gateway's own name: in the greeting, EHLO, Received and Reporting-MTA."),
  postmaster: text
    .optional()
    .describe(
      "The address that gets the mail for this gateway's own postmaster (RFC 5321 §4.5.1): for `<postmaster>`, and for `postmaster@` the `hostname` unless that is a protected domain. Anybody may write to it. What cannot be delivered goes to the dead queue; nothing is returned to the sender. Absent: such mail is refused with 550 5.1.1.",
    ),
  data: text
    .default("./data")
    .describe(
      "Directory of the spool, unless `spool.s3` is set, and of the embedded Redis; relative to the configuration file.",
    ),
  spool: spool.prefault({}).describe("Where accepted mail is stored."),
  own_addresses: z
    .array(text)
    .default([])
    .describe(
      "IP addresses that are this gateway's besides those on its interfaces: of a balancer or a NAT in front of it. Connections to them are local, and mail whose MX leads there has come back.",
    ),
  redis: redis.optional().describe("The Redis server of the queues. Absent: `postern up` runs its own."),
  dns: dns.optional().describe("The name servers to ask, and what they are believed. Absent: the system's."),
  tls: certificates
    .optional()
    .describe("The certificate for STARTTLS with clients. Absent: STARTTLS is not offered."),
  listeners: z.array(listener).min(1).describe("Where clients connect."),
  intercept: intercept
    .prefault({})
    .describe("For `postern intercept`, which redirects connections of clients to the gateway."),
  protected: z
    .array(protectedEntry)
    .prefault([])
    .describe("Domains whose mail the gateway delivers to their own servers, inline or by the queue."),
  outgoing: outgoing
    .prefault({})
    .describe("The outgoing proxy: connections of clients to servers that are not protected."),
  relay: relay.prefault({}).describe("Queued mail for recipients that are not in a protected domain."),
  auth: auth
    .optional()
    .describe(
      "SMTP AUTH (PLAIN, LOGIN) in queued sessions, under TLS only: who has logged in may relay. Absent: not offered.",
    ),
  queue: queue.prefault({}).describe("Retries, expiry and delay warnings."),
  dsn: dsn.prefault({}).describe("Delivery status notifications (RFC 3464)."),
  limits: limits.prefault({}).describe("Limits for messages, clients and destinations."),
  delivery: delivery.prefault({}).describe("The delivery workers."),
  timeouts: timeouts.prefault({}).describe("How long to wait for servers and clients (RFC 5321 §4.5.3.2)."),
  events: events
    .prefault({})
    .describe("What happened to mail, kept in Redis for `postern trace` and the tracking page."),
  log: log.prefault({}).describe("The log on standard output."),
  tracing: tracing
    .optional()
    .describe(
      "Traces by OpenTelemetry, from a client's session to the deliveries of its messages. Absent: none, and nothing of it is loaded.",
    ),
  health: health.prefault({}).describe("Where ingress, delivery and bounce answer /health and /metrics."),
  admin: admin.prefault({}).describe("The pages and the API for administration."),
});

/** The configuration after parsing. Every duration is in milliseconds, every size in octets. */
export type Config = z.infer<typeof configSchema>;
export type ListenerConfig = Config["listeners"][number];
