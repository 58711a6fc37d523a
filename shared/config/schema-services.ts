/** Schema of Redis, DNS, health and administration. */
import { z } from "zod";
import { duration, listenPort, server, text } from "./values.ts";

export const redis = z.strictObject({
  url: z
    .string()
    .regex(
      /^(rediss?|unix):\/\//,
      "is not a Redis URL: write redis://host:6379/0, rediss://… or unix:///path",
    )
    .optional()
    .describe(
      "`redis://host:6379/0`, `rediss://…` with TLS, or `unix:///path`. Give this, `sentinels` or `cluster`.",
    ),
  sentinels: z.array(server).min(1).optional().describe("Sentinel addresses; they need `name`."),
  name: text.optional().describe("The name of the sentinels' group."),
  cluster: z.array(server).min(1).optional().describe("Some nodes of a Redis Cluster."),
  username: text.optional().describe("User name of the ACL. Absent: the default user."),
  password: text.optional().describe("Password; an environment variable keeps it out of the file."),
  sentinel_username: text.optional().describe("User name at the sentinels. Absent: their default user."),
  sentinel_password: text
    .optional()
    .describe("Password of the sentinels, which is not that of Redis. Absent: they need none."),
  tls: z
    .strictObject({
      ca: text.optional().describe("PEM file with the authorities to trust. Absent: the system's."),
      cert: text.optional().describe("PEM file with the client certificate; it needs `key`."),
      key: text.optional().describe("PEM file with its private key."),
      servername: text
        .optional()
        .describe("The name that the server's certificate must have. Absent: the host's."),
    })
    .optional()
    .describe(
      "TLS with Redis and its sentinels; files are relative to the configuration file. Absent: TLS only with `rediss://`.",
    ),
});

export const dns = z.strictObject({
  servers: z
    .array(text)
    .min(1)
    .optional()
    .describe(
      "`address`, `address:port` or `[v6]:port`, asked in this order; the default port is 53. Absent: the system's.",
    ),
  trust_ad: z
    .boolean()
    .default(false)
    .describe(
      "Believe every name server that an answer was validated by DNSSEC (its AD bit), which DANE and REQUIRETLS need. For validating resolvers that are reached over a network that nobody else can change. `false`: only a resolver at 127.0.0.1 or ::1 is believed. Others on loopback, like Docker's 127.0.0.11 or 127.0.0.53 of systemd-resolved, forward what a remote one says.",
    ),
});

export const events = z.strictObject({
  keep: duration
    .prefault("7d")
    .describe(
      "How long `postern trace` and the tracking page find what happened to a message, delivered and bounced ones included. 0: no events are kept, and the log alone has them.",
    ),
  max: z
    .int()
    .min(0)
    .max(100_000_000)
    .default(1_000_000)
    .describe(
      "How many events are kept; the oldest go first. A message to one recipient makes five. A million take about 350 MB of Redis' memory. 0: none are kept.",
    ),
});

export const log = z.strictObject({
  format: z
    .enum(["postern", "ecs"])
    .default("postern")
    .describe(
      "The names of the fields in the log's JSON lines. `postern`: as docs/operations.md has them. `ecs`: those of the Elastic Common Schema, such as `email.message_id`, `source.ip` and `tls.version`, with the rest below `postern`.",
    ),
});

export const health = z.strictObject({
  address: z.string().default("127.0.0.1").describe("An IP address of this machine."),
  port: listenPort
    .default(0)
    .describe(
      "The TCP port; under `postern up` ingress has it, delivery and bounce the two after it. 0: any free port, which is logged, and which the admin finds.",
    ),
});

export const tokenScopes = ["read", "content", "write"] as const;

const adminToken = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.@-]{1,64}$/, "must be 1 to 64 letters, digits and . _ - @")
    .describe("Who uses it; the log names it as `by` at every change."),
  token: text.describe("The bearer token; an environment variable keeps it out of the file."),
  scopes: z
    .array(z.enum(tokenScopes))
    .min(1)
    .default(["read"])
    .describe(
      "`read`: envelopes, counts, pages and metrics. `content`: header fields and bodies of messages, too. `write`: changes, too.",
    ),
});

export const admin = z.strictObject({
  address: z.string().default("127.0.0.1").describe("An IP address of this machine."),
  port: listenPort.default(8025).describe("The TCP port. 0: any free port, which is logged."),
  token: text
    .optional()
    .describe(
      "A bearer token with all scopes; the log names it `admin`. Absent, and without `tokens`: `postern up` creates one in `data/admin.token`.",
    ),
  tokens: z
    .array(adminToken)
    .default([])
    .describe(
      "Bearer tokens for several people and programs, each with a name and scopes. From this machine, `read` needs none.",
    ),
});

export const tracing = z.strictObject({
  otlp: z
    .string()
    .regex(/^https?:\/\/[^/\s]/, "is not a URL: write http://127.0.0.1:4318 or https://…/v1/traces")
    .describe(
      "Where a collector takes OTLP over HTTP (JSON): `http://127.0.0.1:4318`. Without a path: `/v1/traces`. Header fields that it asks for come from the environment: OTEL_EXPORTER_OTLP_HEADERS.",
    ),
  sample: z
    .number()
    .min(0)
    .max(1)
    .default(0.01)
    .describe("The share of sessions that are traced, 0 to 1, with all that follows from their messages."),
});
