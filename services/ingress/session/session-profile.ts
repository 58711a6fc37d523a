/** What all sessions of one listener share, made once from the configuration. */
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { whyNoAuth } from "../../../shared/config/offers-auth.ts";
import type { Config, ListenerConfig } from "../../../shared/config/schema.ts";
import type { Publisher } from "../../../shared/queue/contract/queue.ts";
import type { Routing } from "../../../shared/routing/classify.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { Metrics } from "../../../shared/runtime/metrics.ts";
import type { Tracing } from "../../../shared/runtime/tracing.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import type { Admission } from "../admission/admission.ts";
import type { Authenticator } from "../auth/authenticator.ts";
import type { MailLimit } from "../connections/client-limits.ts";
import { type Inline, type InlineDeps, InlineMetrics } from "../inline/inline.ts";
import type { Acceptor } from "../message/accept.ts";
import type { DataLimits } from "../message/data-receiver.ts";
import { ehloReply, greeting, heloReply } from "../message/session-replies.ts";
import { type Pause, pause } from "./auth-receiver.ts";
import { Certificates } from "./certificates.ts";
import { EnvelopeMemory } from "./envelope-memory.ts";
import { mechanisms } from "./sasl.ts";
import { SessionMetrics } from "./session-metrics.ts";

/** What a session takes from the configuration at its start. */
export interface SessionSettings {
  config: Config;
  routing: Routing;
  /** Absent: all mail goes through the queue. */
  inline?: InlineDeps | undefined;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit?: MailLimit | undefined;
  /** Absent: AUTH is not offered. */
  authenticator?: Authenticator | undefined;
}

export interface SessionsOptions extends SessionSettings {
  spool: Spool;
  publisher: Publisher;
  log: Logger;
  /** Of the process; absent: nothing is exported. */
  metrics?: Metrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
  /** Whether there is too much mail; absent: there never is. */
  admission?: Pick<Admission, "refuseMail">;
  /** Before the reply to a failed login; absent: by the clock. */
  pause?: Pause;
  /** Epoch milliseconds. */
  now?: () => number;
  /** How long a client waits for the storage before it gets 451. */
  storageDeadlineMs?: number;
}

/** Durations in milliseconds; 0 means no limit. */
export interface SessionProfile {
  hostname: string;
  /** Over which the queues are spread. */
  shards: number;
  /** It never listens: sessions need its TLS contexts and options. */
  server: SMTPServer;
  /** Whether there is a certificate to offer STARTTLS with. */
  offersTls: boolean;
  /** Absent: AUTH is not offered. */
  authenticator: Authenticator | undefined;
  pause: Pause;
  routing: Routing;
  acceptor: Acceptor;
  metrics: SessionMetrics;
  /** Absent: nothing is traced. */
  tracing: Tracing | undefined;
  /** Absent: no mail is delivered inline. */
  inline: Inline | undefined;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit: MailLimit | undefined;
  /** Absent: there is never too much mail. */
  admission: Pick<Admission, "refuseMail"> | undefined;
  dataLimits: DataLimits;
  /** In each message. */
  maxRecipients: number;
  /** Of all sessions. */
  envelopeMemory: EnvelopeMemory;
  greeting: Reply;
  heloReply: Reply;
  ehloReply: Reply;
  /** With REQUIRETLS and AUTH in place of STARTTLS. */
  ehloReplyOverTls: Reply;
  clientTimeoutMs: number;
  sessionTimeoutMs: number;
  earlyTalkerMs: number;
  toleratesBareNewline: boolean;
  /** Epoch milliseconds. */
  now: () => number;
}

/** Well below the 10 minutes that clients wait for the reply to the final dot (RFC 5321 §4.5.3.2.6). */
const defaultStorageDeadlineMs = 2 * 60_000;

/** What the sessions of a process share, whatever configuration they began with. */
export interface SharedBySessions {
  options: SessionsOptions;
  metrics: SessionMetrics;
  envelopeMemory: EnvelopeMemory;
  inline: Pick<Inline, "metrics">;
}

export function shareBySessions(options: SessionsOptions): SharedBySessions {
  const { config, metrics } = options;
  const envelopeMemory = new EnvelopeMemory(config.limits);
  registerEnvelopeMemory(envelopeMemory, metrics);
  return {
    options,
    metrics: new SessionMetrics(metrics),
    envelopeMemory,
    inline: { metrics: new InlineMetrics(metrics) },
  };
}

/** The profiles of one configuration. */
export interface SessionProfiles {
  byListener: ReadonlyMap<string, SessionProfile>;
  certificates: Certificates;
}

/**
 * @param before  those of the configuration before
 * @throws Error when a certificate or key cannot be read
 */
export function makeProfiles(
  shared: SharedBySessions,
  settings: SessionSettings,
  before?: SessionProfiles,
): SessionProfiles {
  const { config } = settings;
  const certificates = new Certificates(shared.options.log, before?.certificates);
  const inline = settings.inline && { ...settings.inline, ...shared.inline, queue: config.queue };
  const byListener = new Map(
    config.listeners.map((listener) => [
      listener.name,
      makeProfile(shared, { ...settings, inline }, listener, certificates),
    ]),
  );
  return { byListener, certificates };
}

export function registerEnvelopeMemory(memory: Pick<EnvelopeMemory, "octets">, metrics?: Metrics): void {
  metrics?.gauge(
    "envelope_bytes",
    "Memory of the envelopes of open transactions. Near limits.envelopes for long: clients hear 452 4.3.1; run another ingress, or raise the limit.",
    () => memory.octets,
  );
  metrics?.gauge(
    "envelope_octets",
    "Old name of postern_envelope_bytes; it goes with the next release.",
    () => memory.octets,
  );
}

function makeProfile(
  { options, metrics, envelopeMemory }: SharedBySessions,
  settings: SessionSettings & { inline: Inline | undefined },
  listener: ListenerConfig,
  certificates: Certificates,
): SessionProfile {
  const { config, routing, mailLimit, inline } = settings;
  const { spool, publisher, log, now = Date.now, storageDeadlineMs } = options;
  const { hostname, limits, timeouts } = config;
  const tls = listener.tls ?? config.tls;
  const offersTls = tls !== undefined;
  const authenticator = whyNoAuth(config, listener) === undefined ? settings.authenticator : undefined;
  const overTls = authenticator === undefined ? [] : [`AUTH ${mechanisms.join(" ")}`];
  return {
    server: new SMTPServer({
      logger: false,
      // Without it every session would ask the system for the host's name.
      name: hostname,
      ...(tls === undefined ? { hideSTARTTLS: true } : tlsOptions(tls, certificates)),
    }),
    hostname,
    shards: config.queue.shards,
    routing,
    tracing: options.tracing,
    acceptor: { spool, publisher, log, deadlineMs: storageDeadlineMs ?? defaultStorageDeadlineMs },
    metrics,
    envelopeMemory,
    inline,
    dataLimits: {
      maxMessageBytes: limits.message,
      maxHops: limits.hops,
      normaliseNewlines: listener.bare_newline === "normalise",
    },
    mailLimit,
    admission: options.admission,
    maxRecipients: limits.recipients,
    toleratesBareNewline: listener.bare_newline === "normalise",
    greeting: greeting(hostname),
    heloReply: heloReply(hostname),
    ehloReply: ehloReply(hostname, limits.message, offersTls ? ["STARTTLS"] : []),
    ehloReplyOverTls: ehloReply(hostname, limits.message, ["REQUIRETLS", ...overTls]),
    offersTls,
    authenticator,
    pause: options.pause ?? pause,
    clientTimeoutMs: timeouts.client,
    sessionTimeoutMs: timeouts.session,
    earlyTalkerMs: listener.early_talker,
    now,
  };
}

/** RFC 8996: nothing below TLS 1.2. */
const minVersion = "TLSv1.2";

function tlsOptions(tls: NonNullable<Config["tls"]>, certificates: Certificates): SMTPServerOptions {
  return {
    ...certificates.read(tls),
    minVersion,
    sniOptions: Object.fromEntries(
      Object.entries(tls.sni).map(([name, certificate]) => [
        name,
        { ...certificates.read(certificate), minVersion },
      ]),
    ),
  };
}
