/** The one schema of the configuration: validation, defaults, reference page and JSON Schema come from it. */
import { z } from "zod";
import { certificates, intercept, listener } from "./schema-listeners.ts";
import { delivery, dsn, limits, queue, timeouts } from "./schema-queue.ts";
import { outgoing, protectedEntry, relay } from "./schema-routing.ts";
import { admin, dns, health, redis } from "./schema-services.ts";
import { text } from "./values.ts";

export const configSchema = z.strictObject({
  hostname: z
    .string()
    .regex(
      /^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/,
      "is not a host name",
    )
    .describe("The gateway's own name: in the greeting, EHLO, Received and Reporting-MTA."),
  data: text
    .default("./data")
    .describe("Directory of the spool, and of the embedded Redis; relative to the configuration file."),
  redis: redis.optional().describe("The Redis that the queues live in. Absent: `postern up` runs its own."),
  dns: dns.optional().describe("The name servers to ask. Absent: the system's."),
  tls: certificates.optional().describe("For STARTTLS towards clients. Absent: not offered."),
  listeners: z.array(listener).min(1).describe("Where clients come in."),
  intercept: intercept.prefault({}).describe("For `postern intercept`, which leads traffic to the gateway."),
  protected: z
    .array(protectedEntry)
    .prefault([])
    .describe("The domains whose mail the gateway carries to their own servers, with a queue behind it."),
  outgoing: outgoing
    .prefault({})
    .describe("Connections of clients to servers that are not protected: the outgoing proxy."),
  relay: relay.prefault({}).describe("Mail for unprotected recipients that goes through the queue."),
  queue: queue.prefault({}).describe("How mail waits and is retried."),
  dsn: dsn.prefault({}).describe("Delivery status notifications (RFC 3464)."),
  limits: limits.prefault({}).describe("How much is taken from clients and given to destinations."),
  delivery: delivery.prefault({}).describe("The delivery workers."),
  timeouts: timeouts.prefault({}).describe("How long to wait for servers and clients (RFC 5321 §4.5.3.2)."),
  health: health.prefault({}).describe("Where ingress, delivery and bounce answer /health and /metrics."),
  admin: admin.prefault({}).describe("The pages and the API for administration."),
});

/** The configuration after parsing. Every duration is in milliseconds, every size in octets. */
export type Config = z.infer<typeof configSchema>;
export type ListenerConfig = Config["listeners"][number];
