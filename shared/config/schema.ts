/** The one schema of the configuration: validation, defaults, reference page and JSON Schema come from it. */
import { z } from "zod";
import { duration, network, parseHostPort, rate, size } from "./values.ts";

const port = z.int().min(1).max(65_535);
/** Port 0 takes any free one: for tests and for two gateways on one machine. */
const listenPort = z.int().min(0).max(65_535);
const text = z.string().min(1);

/** A domain, or `*.domain` for all below it. Kept in lower case. */
const domainPattern = z
  .string()
  .regex(/^(\*\.)?[^\s*@/:]+$/, "is not a domain: write example.com or *.example.com")
  .transform((value) => value.toLowerCase());

/** `*`, `user@domain`, `*@domain`, `*@*.domain`; `<>` is the null sender. */
const addressPattern = z
  .string()
  .regex(
    /^(\*|<>|(\*|[^\s@*]+)@(\*\.)?[^\s@*]+)$/,
    "is not an address pattern: write user@example.com, *@example.com, *@*.example.com, <> or *",
  );

const server = z
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

const tlsLevel = z.enum(["none", "may", "require", "verify"]);
const certificate = z.strictObject({
  cert: text.describe("PEM file with the certificate chain; relative to the configuration file."),
  key: text.describe("PEM file with the private key."),
});
const certificates = certificate.extend({
  sni: z
    .record(z.string(), certificate)
    .default({})
    .describe("Other certificates by the server name that the client asks for."),
});

const redis = z.strictObject({
  url: z
    .string()
    .regex(
      /^(rediss?|unix):\/\//,
      "is not a Redis URL: write redis://host:6379/0, rediss://… or unix:///path",
    )
    .optional(),
  sentinels: z.array(server).min(1).optional().describe("Sentinel addresses; `name` is then needed."),
  name: text.optional().describe("The sentinel group's name."),
  cluster: z.array(server).min(1).optional().describe("Some nodes of a Redis Cluster."),
  username: text.optional(),
  password: text.optional(),
  tls: z
    .strictObject({
      ca: text.optional(),
      cert: text.optional(),
      key: text.optional(),
      servername: text.optional(),
    })
    .optional(),
});

const listener = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, "is not a name: letters, digits, '.', '-' and '_' only"),
  address: z.string().default("0.0.0.0").describe("`::` listens on IPv6 and IPv4."),
  port: listenPort,
  destination: z
    .enum(["tproxy", "redirect", "proxy", "self"])
    .default("self")
    .describe(
      "Where the original destination comes from: the kernel (`tproxy`, `redirect`), a PROXY v1/v2 header (`proxy`), or the client means this gateway (`self`).",
    ),
  trusted_proxies: z.array(network).default([]).describe("Who may send a PROXY header."),
  pickup: z
    .strictObject({
      incoming: z.enum(["proxy", "pass", "drop"]).default("proxy"),
      outgoing: z.enum(["proxy", "pass", "drop"]).default("proxy"),
      local: z.enum(["allow", "reject"]).default("allow"),
    })
    .prefault({})
    .describe(
      "`proxy`: handle by the routing table. `pass`: a TCP tunnel to the original destination, nothing read. `drop`: closed at once.",
    ),
  shadow: z.boolean().default(false).describe("Classify and log only; tunnel everything."),
  bare_newline: z
    .enum(["refuse", "normalise"])
    .default("refuse")
    .describe("Bare CR or LF in a queued session: refuse with 550 5.6.11, or make them CRLF."),
  early_talker: duration
    .prefault(0)
    .describe("Wait this long before the greeting, and refuse clients that talk before it; 0: no check."),
  tls: certificates.optional().describe("In place of the top-level `tls`."),
});

const protectedEntry = z.strictObject({
  domains: z.array(domainPattern).min(1),
  servers: z.array(server).min(1).describe("In order of preference; connections to them are *incoming*."),
  use_server_for_outgoing: z
    .boolean()
    .default(false)
    .describe("Mail for others that a client sends through this server goes by this server."),
  inline: z
    .boolean()
    .default(true)
    .describe("Try the far server while the client waits; the queue is the fallback."),
  hide: z
    .boolean()
    .default(false)
    .describe("The server sees the client's own address and HELO name, and no Received is added."),
  tls: tlsLevel.default("may").describe("TLS towards the servers."),
});

const failureClasses = z.array(z.enum(["dns", "connect", "network", "4xx", "5xx"]));

export const configSchema = z.strictObject({
  hostname: z
    .string()
    .regex(
      /^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/,
      "is not a host name",
    )
    .describe("Greeting, EHLO, Received, Reporting-MTA."),
  data: text
    .default("./data")
    .describe("Directory of the spool, and of the embedded Redis; relative to the configuration file."),
  redis: redis.optional().describe("Absent: `postern up` runs its own."),
  dns: z
    .strictObject({ servers: z.array(text).min(1) })
    .optional()
    .describe("Absent: the system's. `address` or `address:port`."),
  tls: certificates.optional().describe("For STARTTLS towards clients. Absent: not offered."),
  listeners: z.array(listener).min(1),
  intercept: z
    .strictObject({
      interfaces: z.array(text).optional().describe("Absent: all but loopback."),
      ports: z.array(port).default([25, 587]),
      pass_ports: z.array(port).default([465]).describe("Tunnelled, never read."),
      fail: z
        .enum(["open", "closed"])
        .default("open")
        .describe("What happens to sessions while no ingress listens."),
    })
    .optional()
    .describe("For `postern intercept`."),
  protected: z.array(protectedEntry).default([]),
  outgoing: z
    .strictObject({
      client_server: z
        .enum(["permit", "insist"])
        .default("permit")
        .describe("`permit`: let clients use the server they chose. `insist`: carry the mail ourselves."),
      on_failure: z
        .union([z.literal("drop"), z.literal("421"), z.literal(421)])
        .transform((value) => (value === "drop" ? ("drop" as const) : ("421" as const)))
        .prefault("drop")
        .describe(
          "When the client's server cannot be reached or goes away: just close, or say 421 4.4.1 first.",
        ),
      starttls: z
        .enum(["pass", "strip"])
        .default("pass")
        .describe("`pass`: opaque from then on. `strip`: not offered, refused with 502."),
      require_auth: z.boolean().default(false).describe("No MAIL before the server has accepted AUTH."),
      hide: z.boolean().default(false).describe("The far server sees the client's own address."),
      exceptions: z
        .array(
          z
            .strictObject({
              clients: z.array(network).optional(),
              servers: z.array(network).optional(),
              client_server: z.enum(["permit", "insist"]),
            })
            .refine(
              (value) => value.clients !== undefined || value.servers !== undefined,
              "needs `clients`, `servers` or both",
            ),
        )
        .default([])
        .describe("First match wins."),
    })
    .prefault({}),
  relay: z
    .strictObject({
      clients: z
        .array(network)
        .prefault(["127.0.0.0/8", "::1"])
        .describe("Who may send to unprotected recipients through the queue."),
      hosts: z
        .record(
          z
            .string()
            .regex(
              /^(?!mx$)[\w-]+$/,
              "is not a relay host's name: letters, digits, '-' and '_' only, and not 'mx'",
            ),
          z.strictObject({
            host: text,
            port: port.default(25),
            tls: tlsLevel.default("may"),
            auth: z.strictObject({ user: text, password: z.string() }).optional(),
          }),
        )
        .default({}),
      routes: z
        .array(
          z
            .strictObject({
              to: addressPattern.optional(),
              from: addressPattern.optional(),
              via: text.describe("A name of `hosts`, `host:port`, `[v6]:port`, or `mx`."),
            })
            .refine(
              (value) => value.to !== undefined || value.from !== undefined,
              "needs `to`, `from` or both",
            ),
        )
        .default([])
        .describe("First match wins; without a match: mx."),
      backup: z
        .strictObject({
          via: text,
          after: duration.prefault("1h"),
          on: failureClasses.default(["dns", "connect", "network", "4xx"]),
        })
        .optional()
        .describe("Takes over deliveries that failed in these ways for so long."),
    })
    .prefault({}),
  queue: z
    .strictObject({
      retry: z
        .array(duration)
        .min(1)
        .prefault(["5m", "10m", "20m", "40m", "1h"])
        .describe("Waits between attempts; the last repeats; each with jitter."),
      slow_after: z.int().min(1).default(3).describe("Attempts before a message moves to the slow queue."),
      expire: duration.prefault("5d"),
      dsn_expire: duration.prefault("5d").describe("0: one attempt."),
      delay_warning: duration.prefault("4h").describe("0: none."),
      dead_retention: duration
        .prefault("14d")
        .describe("How long undeliverable DSNs and their like are kept."),
    })
    .prefault({}),
  dsn: z
    .strictObject({
      from: text.optional().describe("Absent: MAILER-DAEMON@ and the host name."),
      name: text.default("Mail Delivery System"),
      attach: z
        .enum(["headers", "full", "none"])
        .default("headers")
        .describe("What of the original a DSN carries when the sender did not say (RET)."),
      max_attach: size.prefault("64KB"),
      wave: duration
        .prefault("5s")
        .describe("Failures of one message that come within this time share one DSN."),
    })
    .prefault({}),
  limits: z
    .strictObject({
      message: size.prefault("50MB"),
      recipients: z.int().min(1).default(1000).describe("Per message."),
      hops: z.int().min(1).default(100).describe("Received fields."),
      clients: z
        .strictObject({ connections: z.int().min(1).optional(), rate: rate.optional() })
        .prefault({})
        .describe("Per client address, cluster-wide. Absent: no limit."),
      destinations: z
        .array(
          z.strictObject({
            match: z.union([z.literal("*"), domainPattern]),
            connections: z.int().min(1).optional(),
            messages_per_connection: z.int().min(1).optional(),
            rate: rate.optional(),
          }),
        )
        .prefault([{ match: "*", connections: 20, messages_per_connection: 100 }])
        .describe("Cluster-wide; first match wins."),
    })
    .prefault({}),
  delivery: z
    .strictObject({
      concurrency: z
        .int()
        .min(1)
        .max(10_000)
        .default(100)
        .describe("Attempts at once in each delivery worker process."),
      source_addresses: z
        .array(text)
        .default([])
        .describe("Local addresses to deliver from, IPv4 and IPv6. Absent: the system's choice."),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      connect: duration.prefault("30s"),
      greeting: duration.prefault("5m"),
      ehlo: duration.prefault("5m"),
      mail: duration.prefault("5m"),
      rcpt: duration.prefault("5m"),
      data: duration.prefault("2m"),
      body: duration.prefault("3m").describe("For each block of the message."),
      dot: duration.prefault("10m").describe("For the reply to the final dot."),
      quit: duration.prefault("10s"),
      client: duration.prefault("5m").describe("A client that says nothing."),
      session: duration
        .prefault("1h")
        .describe("A client's session as a whole; transactions under way finish."),
      tunnel: duration.prefault("2h").describe("A tunnel without traffic."),
    })
    .prefault({})
    .describe("RFC 5321 §4.5.3.2."),
  health: z
    .strictObject({ address: z.string().default("127.0.0.1"), port: listenPort.default(0) })
    .prefault({})
    .describe(
      "Where ingress, delivery and bounce answer /health and /metrics; port 0: any free one, which the log names.",
    ),
  admin: z
    .strictObject({
      address: z.string().default("127.0.0.1"),
      port: listenPort.default(8025),
      token: text.optional().describe("Absent: `postern up` makes one in `data/admin.token`."),
    })
    .prefault({}),
});

/** The configuration after parsing. Every duration is in milliseconds, every size in octets. */
export type Config = z.infer<typeof configSchema>;
export type ListenerConfig = Config["listeners"][number];
export type ProtectedConfig = Config["protected"][number];
