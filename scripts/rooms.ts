/**
 * The table of rooms: the purpose of each directory of source, and the rooms that it may import. walls.ts checks the source
 * against it, and docs/rooms.md is generated from it.
 */

export interface Room {
  /** One sentence. */
  purpose: string;
  /** Decisions only: no sockets, files, timers, clock or environment, not even by what it imports. */
  pure?: true;
  imports: readonly string[];
}

export const rooms: Record<string, Room> = {
  shared: {
    purpose: "Helpers without a subject of mail: durations as text, and the end of a switch over kinds.",
    pure: true,
    imports: [],
  },
  "shared/net": {
    purpose: "Addresses, networks and endpoints as text and as values.",
    pure: true,
    imports: [],
  },
  "shared/smtp": {
    purpose:
      "The language of SMTP: command lines, replies, enhanced status codes, extensions, and why a recipient was not delivered.",
    pure: true,
    imports: [],
  },
  "shared/mail": {
    purpose:
      "The message: envelope, addresses, header fields, queue id, and the record that the spool stores.",
    pure: true,
    imports: ["shared/net", "shared/smtp"],
  },
  "shared/routing": {
    purpose: "The routing table: from the facts of a connection and a recipient to a row and a next hop.",
    pure: true,
    imports: ["shared", "shared/config", "shared/mail", "shared/net", "shared/smtp"],
  },
  "shared/users": {
    purpose: "Users who may log in: the user file and its password hashes.",
    imports: [],
  },
  "shared/config": {
    purpose:
      "The configuration: one schema for validation, defaults, the reference page and the JSON Schema.",
    imports: ["shared/mail", "shared/net", "shared/users"],
  },
  "shared/runtime": {
    purpose: "The process of a service: log, metrics, health, connections to Redis, sockets and signals.",
    imports: ["shared/config", "shared/net", "shared/spool", "shared/spool/fs", "shared/spool/fs/disk"],
  },
  "shared/shards": {
    purpose:
      "Shards of the queues: the prefix of their keys, connections to each, and which of them may have jobs.",
    imports: ["shared/mail", "shared/runtime"],
  },
  "shared/events": {
    purpose: "What happened to mail, as events: their stored form, the words that find them, timelines.",
    pure: true,
    imports: ["shared", "shared/runtime"],
  },
  "shared/events/stream": {
    purpose: "Events in a capped stream in Redis: appended in batches, found by word.",
    imports: ["shared/events", "shared/mail", "shared/runtime", "shared/shards"],
  },
  "shared/limits": {
    purpose:
      "What all processes know together: limits of connections and rates, retry slots, dead destinations, own connections.",
    imports: ["shared/config", "shared/net", "shared/runtime", "shared/smtp"],
  },
  "shared/spool": {
    purpose:
      "The spool's interface and the states of recipients, with the implementation in memory, and what all kinds of storage report.",
    imports: ["shared", "shared/mail", "shared/smtp"],
  },
  "shared/spool/records": {
    purpose:
      "What a spool stores, as octets and names, whatever the storage: records of messages, status entries, drafts.",
    pure: true,
    imports: ["shared", "shared/mail", "shared/spool"],
  },
  "shared/spool/fs": {
    purpose: "The spool on a file system: opens, recovers and ties the pieces below together.",
    imports: [
      "shared/mail",
      "shared/spool",
      "shared/spool/records",
      "shared/spool/fs/cleanup",
      "shared/spool/fs/disk",
      "shared/spool/fs/segments",
      "shared/spool/fs/states",
      "shared/spool/fs/writers",
    ],
  },
  "shared/spool/fs/disk": {
    purpose: "Files, names, free space and faults of a spool directory.",
    imports: ["shared/spool", "shared/spool/records"],
  },
  "shared/spool/fs/writers": {
    purpose: "Which processes write to a spool: their heartbeats, and which of their files are finished.",
    imports: ["shared/spool", "shared/spool/records", "shared/spool/fs/disk"],
  },
  "shared/spool/fs/segments": {
    purpose: "Segments of messages: group commit, reading, scanning and large bodies.",
    imports: [
      "shared/mail",
      "shared/spool",
      "shared/spool/records",
      "shared/spool/fs/disk",
      "shared/spool/fs/writers",
    ],
  },
  "shared/spool/fs/states": {
    purpose: "The status log: which recipients are settled, written in batches and read from its tail.",
    imports: [
      "shared/mail",
      "shared/spool",
      "shared/spool/records",
      "shared/spool/fs/disk",
      "shared/spool/fs/segments",
      "shared/spool/fs/writers",
    ],
  },
  "shared/spool/fs/cleanup": {
    purpose: "Frees space: deletes settled segments, moves old messages, compacts status logs.",
    imports: [
      "shared/spool",
      "shared/spool/records",
      "shared/spool/fs/disk",
      "shared/spool/fs/segments",
      "shared/spool/fs/states",
      "shared/spool/fs/writers",
    ],
  },
  "shared/spool/s3": {
    purpose: "The spool in an S3-compatible store: keys, drafts, and what ties the pieces below together.",
    imports: [
      "shared/mail",
      "shared/spool",
      "shared/spool/records",
      "shared/spool/s3/cleanup",
      "shared/spool/s3/messages",
      "shared/spool/s3/states",
      "shared/spool/s3/store",
    ],
  },
  "shared/spool/s3/store": {
    purpose:
      "The object store: keys, requests, what their failures mean, how often they are repeated, what the store can do.",
    imports: ["shared/spool", "shared/spool/records"],
  },
  "shared/spool/s3/messages": {
    purpose: "Objects with messages: batches, large bodies, local copies, and which message is where.",
    imports: [
      "shared/mail",
      "shared/spool",
      "shared/spool/records",

      "shared/spool/s3/store",
    ],
  },
  "shared/spool/s3/states": {
    purpose: "Objects with status entries: written in batches, and read by all processes.",
    imports: [
      "shared/mail",
      "shared/spool",
      "shared/spool/records",

      "shared/spool/s3/store",
    ],
  },
  "shared/spool/s3/cleanup": {
    purpose: "Frees space in the store: removes what is settled, joins what is left, forgets what is gone.",
    imports: [
      "shared/spool",
      "shared/spool/records",

      "shared/spool/s3/messages",
      "shared/spool/s3/states",
      "shared/spool/s3/store",
    ],
  },
  "shared/queue": {
    purpose: "Producers, consumers and the background publisher of the queues.",
    imports: [
      "shared",
      "shared/queue/bullmq",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/routing",
      "shared/runtime",
      "shared/shards",
      "shared/spool",
    ],
  },
  "shared/queue/contract": {
    purpose: "The queue contract: names, job ids, payloads, delivery jobs, dead jobs and the retry schedule.",
    pure: true,
    imports: ["shared/config", "shared/mail", "shared/routing", "shared/smtp", "shared/spool"],
  },
  "shared/queue/bullmq": {
    purpose: "All that knows BullMQ's inside: workers, job locks, keys, due times and scripts.",
    imports: ["shared/queue/contract", "shared/runtime", "shared/shards"],
  },
  "shared/queue/holds": {
    purpose: "Hold rules: where they are stored, which jobs they cover, and how these are held and released.",
    imports: [
      "shared",
      "shared/mail",
      "shared/queue/bullmq",
      "shared/queue/contract",
      "shared/routing",
      "shared/runtime",
      "shared/shards",
    ],
  },
  "shared/queue/operator": {
    purpose:
      "Queued mail for operators: an index of it, lists and totals, and the changes that operators make.",
    imports: [
      "shared",
      "shared/limits",
      "shared/mail",
      "shared/queue/bullmq",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/runtime",
      "shared/shards",
      "shared/smtp",
    ],
  },
  "shared/queue/reconcile": {
    purpose: "Keeps the queues in agreement with the spool, by one leader at a time.",
    imports: [
      "shared/config",
      "shared/queue",
      "shared/queue/bullmq",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/routing",
      "shared/runtime",
      "shared/shards",
      "shared/spool",
    ],
  },
  "shared/smtp-client": {
    purpose: "The SMTP client: one attempt at a message over the hosts of its next hop.",
    imports: [
      "shared",
      "shared/config",
      "shared/limits",
      "shared/mail",
      "shared/net",
      "shared/routing",
      "shared/runtime",
      "shared/smtp",
      "shared/smtp-client/connections",
      "shared/smtp-client/dns",
      "shared/smtp-client/next-hops",
      "shared/smtp-client/session",
      "shared/smtp-client/tls",
      "shared/smtp-client/tls/sts",
      "shared/smtp-client/transaction",
      "shared/spool",
    ],
  },
  "shared/smtp-client/connections": {
    purpose: "The pool of connections: idle ones, waiters of a destination, and its back-pressure.",
    imports: [
      "shared",
      "shared/limits",
      "shared/smtp",
      "shared/smtp-client/next-hops",
      "shared/smtp-client/session",
    ],
  },
  "shared/smtp-client/dns": {
    purpose: "The resolver: questions, answers, a cache, and the system's name servers.",
    imports: ["shared/net"],
  },
  "shared/smtp-client/next-hops": {
    purpose: "Which hosts and addresses to try for a next hop, and which limits and TLS level apply to it.",
    imports: [
      "shared/config",
      "shared/mail",
      "shared/net",
      "shared/routing",
      "shared/smtp",
      "shared/smtp-client/dns",
      "shared/smtp-client/tls",
      "shared/smtp-client/tls/dane",
      "shared/smtp-client/tls/sts",
    ],
  },
  "shared/smtp-client/session": {
    purpose: "One connection to a server, from dialling to a session that is ready for mail.",
    imports: ["shared/net", "shared/routing", "shared/runtime", "shared/smtp", "shared/smtp-client/tls"],
  },
  "shared/smtp-client/tls": {
    purpose: "The TLS requirements of a server, and the check of its certificates against them.",
    imports: ["shared/routing", "shared/smtp", "shared/smtp-client/dns", "shared/smtp-client/tls/dane"],
  },
  "shared/smtp-client/tls/dane": {
    purpose: "DANE: TLSA records and how a certificate chain matches them.",
    imports: ["shared/smtp-client/dns"],
  },
  "shared/smtp-client/tls/sts": {
    purpose: "MTA-STS: records, policies, their cache and their fetching.",
    imports: ["shared/smtp-client/dns"],
  },
  "shared/smtp-client/transaction": {
    purpose: "One mail transaction in an open session, for stored and for streamed messages.",
    imports: ["shared/mail", "shared/smtp", "shared/smtp-client/session", "shared/spool"],
  },
  "services/ingress": {
    purpose:
      "The service that clients connect to: listeners, sessions, inline delivery and the outgoing proxy.",
    imports: [
      "services/ingress/admission",
      "services/ingress/auth",
      "services/ingress/connections",
      "services/ingress/inline",
      "services/ingress/listener",
      "services/ingress/outgoing",
      "services/ingress/session",
      "shared/config",
      "shared/events/stream",
      "shared/limits",
      "shared/mail",
      "shared/net",
      "shared/queue",
      "shared/queue/contract",
      "shared/routing",
      "shared/runtime",
      "shared/smtp-client/session",
      "shared/spool",
    ],
  },
  "services/ingress/admission": {
    purpose: "Back-pressure: whether a client may bring more mail, by what there is too much of.",
    imports: ["services/ingress/message", "shared/config", "shared/runtime", "shared/smtp", "shared/spool"],
  },
  "services/ingress/auth": {
    purpose: "Logins of clients: how credentials are checked, and how failures are limited.",
    imports: [
      "services/ingress/connections",
      "shared",
      "shared/config",
      "shared/limits",
      "shared/mail",
      "shared/net",
      "shared/routing",
      "shared/runtime",
      "shared/smtp-client",
      "shared/users",
    ],
  },
  "services/ingress/connections": {
    purpose: "Client connections of every kind: limits, rejections, dialling, tunnels.",
    imports: [
      "services/ingress/admission",
      "shared/config",
      "shared/limits",
      "shared/mail",
      "shared/net",
      "shared/runtime",
      "shared/smtp",
    ],
  },
  "services/ingress/listener": {
    purpose: "Accepts connections and finds out where the client meant to go.",
    imports: [
      "services/ingress/connections",
      "shared",
      "shared/config",
      "shared/mail",
      "shared/net",
      "shared/routing",
      "shared/runtime",
    ],
  },
  "services/ingress/message": {
    purpose: "Receives one message: envelope commands, data, trace information and the spool.",
    imports: [
      "shared",
      "shared/mail",
      "shared/queue/contract",
      "shared/routing",
      "shared/runtime",
      "shared/smtp",
      "shared/spool",
    ],
  },
  "services/ingress/session": {
    purpose: "Queued sessions: the SMTP dialogue with the client.",
    imports: [
      "services/ingress/admission",
      "services/ingress/auth",
      "services/ingress/connections",
      "services/ingress/inline",
      "services/ingress/message",
      "shared",
      "shared/config",
      "shared/mail",
      "shared/queue/contract",
      "shared/routing",
      "shared/runtime",
      "shared/smtp",
      "shared/spool",
      "shared/users",
    ],
  },
  "services/ingress/inline": {
    purpose: "Inline delivery: to a protected server while the client waits.",
    imports: [
      "services/ingress/message",
      "shared",
      "shared/config",
      "shared/limits",
      "shared/mail",
      "shared/queue",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/routing",
      "shared/runtime",
      "shared/smtp",
      "shared/smtp-client",
      "shared/smtp-client/transaction",
      "shared/spool",
    ],
  },
  "services/ingress/outgoing": {
    purpose: "The outgoing proxy: carries a session to the server that the client chose, and watches it.",
    imports: [
      "services/ingress/connections",
      "shared",
      "shared/config",
      "shared/mail",
      "shared/net",
      "shared/runtime",
      "shared/smtp",
    ],
  },
  "services/delivery": {
    purpose: "The delivery workers: look up, decide, attempt, record, report.",
    imports: [
      "shared",
      "shared/config",
      "shared/events/stream",
      "shared/limits",
      "shared/mail",
      "shared/queue",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/queue/reconcile",
      "shared/routing",
      "shared/runtime",
      "shared/shards",
      "shared/smtp",
      "shared/smtp-client",
      "shared/spool",
    ],
  },
  "services/bounce": {
    purpose: "Delivery status notifications: aggregates failures and delays, and writes the messages.",
    imports: [
      "shared",
      "shared/config",
      "shared/events/stream",
      "shared/mail",
      "shared/net",
      "shared/queue",
      "shared/queue/contract",
      "shared/routing",
      "shared/runtime",
      "shared/shards",
      "shared/smtp",
      "shared/spool",
    ],
  },
  "services/admin": {
    purpose: "The admin service: HTTP server, gauges, Bull Board and the token.",
    imports: [
      "services/admin/federation",
      "services/admin/page",
      "services/admin/routes",
      "services/admin/tasks",
      "shared",
      "shared/config",
      "shared/events/stream",
      "shared/queue",
      "shared/queue/bullmq",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/queue/operator",
      "shared/runtime",
      "shared/shards",
      "shared/smtp-client",
      "shared/spool",
    ],
  },
  "services/admin/tasks": {
    purpose: "Changes of many messages, each with an id, its progress, and a line in the log.",
    imports: [
      "shared/config",
      "shared/mail",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/queue/operator",
      "shared/routing",
      "shared/runtime",
      "shared/smtp",
      "shared/spool",
    ],
  },
  "services/admin/routes": {
    purpose: "The routes of the admin API, and their access control.",
    imports: [
      "services/admin/tasks",
      "shared",
      "shared/config",
      "shared/events",
      "shared/events/stream",
      "shared/limits",
      "shared/mail",
      "shared/net",
      "shared/queue/contract",
      "shared/queue/holds",
      "shared/queue/operator",
      "shared/routing",
      "shared/runtime",
      "shared/shards",
      "shared/smtp",
      "shared/smtp-client",
      "shared/smtp-client/next-hops",
      "shared/spool",
    ],
  },
  "services/admin/federation": {
    purpose:
      "The metrics of all services on the admin's /metrics: which processes to ask, and one text of all answers.",
    imports: ["services/admin/routes", "shared/runtime"],
  },
  "services/admin/page": {
    purpose: "The dashboard: a page that browsers load as it is, and the routes of its files.",
    imports: [],
  },
  "services/cli": {
    purpose: "The command line: finds the command and runs it.",
    imports: [
      "services/cli/admin-api",
      "services/cli/command-line",
      "services/cli/completion",
      "services/cli/demo",
      "services/cli/holds",
      "services/cli/intercept",
      "services/cli/overview",
      "services/cli/processes",
      "services/cli/queue",
      "services/cli/tasks",
      "services/cli/top",
      "services/cli/trace",
      "services/cli/up",
      "services/cli/user",
      "shared",
      "shared/config",
      "shared/mail",
      "shared/net",
      "shared/routing",
      "shared/runtime",
      "shared/smtp-client/session",
      "shared/users",
    ],
  },
  "services/cli/command-line": {
    purpose: "What a command is: options, values, help, finding the configuration, tables on a terminal.",
    imports: ["shared/config"],
  },
  "services/cli/completion": {
    purpose: "`postern completion`: the scripts for shells, and the answers to them.",
    imports: ["services/cli/command-line"],
  },
  "services/cli/admin-api": {
    purpose: "The client of the admin API.",
    imports: ["services/cli/command-line", "shared/config", "shared/net", "shared/runtime"],
  },
  "services/cli/overview": {
    purpose: "`postern status`, `queue summary` and `destination`: how the gateway is.",
    imports: ["services/cli/admin-api", "services/cli/command-line", "services/cli/queue", "shared"],
  },
  "services/cli/holds": {
    purpose: "`postern holds`: which mail is held.",
    imports: ["services/cli/admin-api", "services/cli/command-line", "shared"],
  },
  "services/cli/tasks": {
    purpose: "`postern tasks`: changes of many messages.",
    imports: ["services/cli/admin-api", "services/cli/command-line", "shared"],
  },
  "services/cli/queue": {
    purpose: "`postern queue`: the queues from the command line.",
    imports: [
      "services/cli/admin-api",
      "services/cli/command-line",
      "services/cli/holds",
      "shared",
      "shared/config",
      "shared/mail",
      "shared/net",
      "shared/queue/holds",
      "shared/queue/operator",
    ],
  },
  "services/cli/demo": {
    purpose: "`postern demo`: a gateway, a mail server behind it, and people who write to each other.",
    imports: ["services/cli/command-line"],
  },
  "services/cli/trace": {
    purpose: "`postern trace`: timelines on a terminal.",
    imports: ["services/cli/admin-api", "services/cli/command-line", "shared"],
  },
  "services/cli/intercept": {
    purpose: "`postern intercept`: transparent interception on Linux.",
    imports: ["services/cli/command-line", "shared/config"],
  },
  "services/cli/top": {
    purpose: "`postern top`: a live screen of the gateway.",
    imports: [
      "services/cli/admin-api",
      "services/cli/command-line",
      "services/cli/overview",
      "shared",
      "shared/config",
    ],
  },
  "services/cli/user": {
    purpose: "`postern user`: the users of the gateway itself.",
    imports: ["services/cli/command-line", "shared", "shared/config", "shared/users"],
  },
  "services/cli/processes": {
    purpose: "Child processes that are supervised: services, and the workers of one service.",
    imports: ["shared/config", "shared/runtime"],
  },
  "services/cli/up": {
    purpose: "`postern up`: every service and a Redis on one machine.",
    imports: ["services/cli/command-line", "services/cli/processes", "shared/config", "shared/runtime"],
  },
};

/** The rooms (with the rooms below them) and files that may import each package. */
export const packages: Record<string, readonly string[]> = {
  "@aws-sdk/client-s3": ["shared/spool/s3/store"],
  "@bomb.sh/tab": ["services/cli/completion"],
  "@bull-board/api": ["services/admin/board.ts"],
  "@bull-board/fastify": ["services/admin/board.ts"],
  "@opentelemetry/api": ["shared/runtime/tracing.ts"],
  "@opentelemetry/exporter-trace-otlp-http": ["shared/runtime/tracing.ts"],
  "@opentelemetry/resources": ["shared/runtime/tracing.ts"],
  "@opentelemetry/sdk-trace": ["shared/runtime/tracing.ts"],
  "@fastify/sse": ["services/admin"],
  bullmq: ["shared/queue/bullmq"],
  dns2: ["shared/smtp-client/dns/packet.ts"],
  fastify: ["services/admin"],
  ioredis: ["shared/runtime"],
  commander: ["services/cli"],
  "ipaddr.js": ["shared/net", "shared/runtime/socket.ts", "services/admin/routes/access.ts"],
  koffi: ["shared/runtime/socket.ts"],
  nodemailer: ["services/bounce/mime.ts", "services/cli/demo/send-message.ts"],
  ora: ["services/cli/command-line/spinner.ts"],
  pino: ["shared/runtime/log.ts"],
  "prom-client": ["shared/runtime/metrics.ts"],
  "smtp-server": ["services/cli/demo/mail-server.ts", "services/ingress/session"],
  yaml: ["shared/config/source.ts"],
  zod: ["shared", "services/admin", "services/cli"],
};
