/** The log lines and counters of a session; bounded, whatever a client sends. */

import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import { type EventFields, type Logger, logEvent } from "../../../shared/runtime/log.ts";
import { describeReply, type Reply } from "../../../shared/smtp/reply.ts";
import type { RefusedInline } from "../inline/inline-log.ts";
import type { SessionMetrics } from "./session-metrics.ts";

/** Which step of a transaction was refused. */
export type Stage = "MAIL" | "RCPT" | "DATA" | "DOT";

/** Refusals of one session that are logged one by one; all are counted. */
const maxLoggedRefusals = 50;
const maxLoggedRecipients = 10;
const maxLoggedText = 320;

export class SessionLog {
  readonly #connection: ClientConnection;
  readonly #log: Logger;
  readonly #metrics: SessionMetrics;
  readonly #openedAtMs: number;
  /** Who has logged in. */
  #user: string | undefined;
  #accepted = 0;
  #refused = 0;
  #recipients = 0;
  #octets = 0;

  constructor(connection: ClientConnection, log: Logger, metrics: SessionMetrics, nowMs: number) {
    this.#connection = connection;
    this.#log = log;
    this.#metrics = metrics;
    this.#openedAtMs = nowMs;
    metrics.opened();
  }

  /** @param ms  from DATA to the reply */
  accepted(facts: {
    id: string;
    helo: string;
    envelope: Envelope;
    messageId: string | undefined;
    size: number;
    rows: string[];
    ms: number;
    /** The client disconnected before it could get the reply. */
    unheard: boolean;
    /** How many recipients have it already; absent where none was to be delivered inline. */
    inline?: number;
  }): void {
    const { id, helo, envelope, messageId, size, rows, ms, unheard, inline } = facts;
    const count = envelope.recipients.length;
    this.#accepted++;
    this.#recipients += count;
    this.#octets += size;
    this.#metrics.accepted(size, count, ms / 1000);
    const fields: EventFields = {
      event: "message.accepted",
      id,
      session: this.#connection.id,
      client: this.#connection.client.address,
      ...this.#userField,
      helo,
      from: envelope.reversePath,
      to: addresses(envelope),
      recipients: count,
      size,
      messageId,
      rows,
      ms,
      ...(inline === undefined ? {} : { inline }),
      ...(unheard ? { unheard } : {}),
    };
    // Each recipient finds the message, also those that the log line leaves out.
    logEvent(this.#log, fields, count > maxLoggedRecipients ? { to: allAddresses(envelope) } : undefined);
  }

  /**
   * @property command  the command line, where its form was refused
   * @property remote  the server whose refusal it is, with what else is known of the session with it
   */
  refused(
    stage: Stage,
    reply: Reply,
    facts: { helo: string; from?: string; to?: string[]; command?: string } & Partial<RefusedInline>,
  ): void {
    this.#refused++;
    this.#metrics.refused(`${reply.code} ${reply.enhanced ?? ""}`.trimEnd());
    if (this.#refused > maxLoggedRefusals) return;
    const { command, ...rest } = facts;
    logEvent(this.#log, {
      event: "message.refused",
      session: this.#connection.id,
      client: this.#connection.client.address,
      ...this.#userField,
      stage,
      reply: describeReply(reply),
      ...rest,
      ...(command === undefined ? {} : { command: redact(command).slice(0, maxLoggedText) }),
    });
  }

  loggedIn({ mechanism, user }: { mechanism: string; user: string }): void {
    this.#user = user;
    this.#metrics.login("accepted");
    logEvent(this.#log, {
      event: "auth.accepted",
      session: this.#connection.id,
      client: this.#connection.client.address,
      user,
      mechanism,
    });
  }

  /** @param facts  without anything that the client may have meant as its password */
  loginFailed(
    facts: { mechanism: string; cause: string; user?: string; failures?: number; reason?: string },
    reply: Reply,
  ): void {
    this.#metrics.login(facts.cause);
    logEvent(this.#log, {
      event: "auth.failed",
      session: this.#connection.id,
      client: this.#connection.client.address,
      ...facts,
      reply: describeReply(reply),
    });
  }

  /** In every line from the login on. */
  get #userField(): { user?: string } {
    return this.#user === undefined ? {} : { user: this.#user };
  }

  closed(facts: {
    helo: string;
    tls: string | undefined;
    endedBy: string;
    errors: number;
    nowMs: number;
  }): void {
    const { nowMs, ...rest } = facts;
    this.#metrics.closed((nowMs - this.#openedAtMs) / 1000, facts.tls);
    logEvent(this.#log, {
      event: "session.close",
      session: this.#connection.id,
      client: this.#connection.client.address,
      ...this.#userField,
      ...rest,
      accepted: this.#accepted,
      refused: this.#refused,
      recipients: this.#recipients,
      octets: this.#octets,
      ms: nowMs - this.#openedAtMs,
    });
  }
}

/** The AUTH parameter of MAIL names a mailbox; some client may put something else there. */
function redact(command: string): string {
  return command.replace(/\bAUTH=\S+/gi, "AUTH=...");
}

function allAddresses({ recipients }: Envelope): string[] {
  return recipients.map(({ address }) => address);
}

/** The first recipients of an envelope, as many as a log line should carry. */
export function addresses(envelope: Envelope): string[] {
  const { recipients } = envelope;
  const shown =
    recipients.length > maxLoggedRecipients ? recipients.slice(0, maxLoggedRecipients) : recipients;
  return shown.map((recipient) => recipient.address);
}
