/**
 * Receives the envelope of a message: MAIL and RCPT. Decides where each recipient goes, and asks the remote server about
 * those that are delivered inline. Owns the open transaction.
 */
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Recipient } from "../../../shared/mail/envelope.ts";
import type { RecipientDecision } from "../../../shared/routing/classify.ts";
import type { Route } from "../../../shared/routing/route.ts";
import { makeReply, type Reply } from "../../../shared/smtp/reply.ts";
import { clientName } from "../connections/client-limits.ts";
import { type Inline, mayGoInline, openInlineDelivery } from "../inline/inline.ts";
import type { InlineDelivery } from "../inline/inline-delivery.ts";
import { refusingServer } from "../inline/inline-log.ts";
import { refusalForClient } from "../inline/remote-reply.ts";
import { type MailCommand, parseMail, parseRcpt } from "../message/envelope-command.ts";
import { type ClientGreeting, originOf } from "../message/record.ts";
import { replies } from "../message/session-replies.ts";
import { ClientTransaction } from "./client-transaction.ts";
import type { ErrorBudget } from "./error-budget.ts";
import type { SessionLog } from "./session-log.ts";
import type { SessionProfile } from "./session-profile.ts";

/** What it needs of its session. */
export interface EnvelopeSession {
  readonly connection: ClientConnection;
  readonly greeting: ClientGreeting;
  /** Under TLS. */
  readonly secure: boolean;
  /** The client has disconnected. */
  readonly isGone: boolean;
}

/** A promise where others have to be asked; it never rejects, and gives no reply when the client has gone meanwhile. */
export type Answer = Reply | Promise<Reply | undefined>;

export class EnvelopeReceiver {
  readonly #session: EnvelopeSession;
  readonly #profile: SessionProfile;
  readonly #sessionLog: SessionLog;
  readonly #budget: ErrorBudget;
  #transaction: ClientTransaction | undefined;
  #isAskingServer = false;

  constructor(
    session: EnvelopeSession,
    profile: SessionProfile,
    sessionLog: SessionLog,
    budget: ErrorBudget,
  ) {
    this.#session = session;
    this.#profile = profile;
    this.#sessionLog = sessionLog;
    this.#budget = budget;
  }

  /** From MAIL to closeTransaction(). */
  get transaction(): ClientTransaction | undefined {
    return this.#transaction;
  }

  /** A recipient has been passed on to a remote server, which has not replied. */
  get isAskingServer(): boolean {
    return this.#isAskingServer;
  }

  /** The reply to a command that needs an open transaction. */
  get transactionNeeded(): Reply {
    return this.#session.greeting.helo === "" ? replies.heloFirst : replies.mailFirst;
  }

  receiveMail(line: string): Answer {
    const { connection, greeting, secure } = this.#session;
    if (greeting.helo === "") return this.#budget.countError(replies.heloFirst);
    if (this.#transaction !== undefined) return this.#budget.countError(replies.mailAlready);
    const { admission, dataLimits, mailLimit } = this.#profile;
    const command = parseMail(line, {
      maxMessageBytes: dataLimits.maxMessageBytes,
      requireTls: secure,
      auth: secure && this.#profile.authenticator !== undefined,
    });
    if (command.kind === "refused") {
      this.#sessionLog.refused("MAIL", command.reply, { helo: greeting.helo, command: line });
      return this.#budget.countError(command.reply);
    }
    // Neither a line in the log for each, nor a message of the client's rate: the log has one for all.
    const refusal = admission?.refuseMail(command.declaredOctets ?? 0);
    if (refusal !== undefined) return this.#budget.countError(refusal);
    const admitted = mailLimit?.(connection) ?? true;
    if (typeof admitted === "boolean") return this.#openTransaction(command, admitted);
    return admitted.then((isAdmitted) =>
      this.#session.isGone ? undefined : this.#openTransaction(command, isAdmitted),
    );
  }

  receiveRcpt(line: string): Answer {
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#budget.countError(this.transactionNeeded);
    const { reversePath, smtputf8 } = transaction.envelope;
    const command = parseRcpt(line, smtputf8 === true);
    if (command.kind === "refused") {
      transaction.refusedRecipients++;
      const { helo } = this.#session.greeting;
      this.#sessionLog.refused("RCPT", command.reply, { helo, from: reversePath, command: line });
      return this.#budget.countError(command.reply);
    }
    const { recipient, sourceRoute } = command;
    const { address } = recipient;
    if (transaction.has(recipient)) return this.#countExcess(transaction, replies.rcptOk);
    const { maxRecipients, routing, authenticator } = this.#profile;
    if (transaction.recipientCount >= maxRecipients) {
      const reply = this.#refuseRecipient(transaction, address, replies.tooManyRecipients);
      return this.#countExcess(transaction, reply);
    }
    const sender = {
      reversePath,
      recipient: address,
      sourceRoute,
      authenticated: this.#session.greeting.user !== undefined,
      mayAuthenticate: authenticator !== undefined,
    };
    const decision = routing.classifyRecipient(this.#session.connection, sender);
    if (decision.row === "denied") {
      const { code, status, text } = decision.reply;
      return this.#denyRecipient(transaction, address, makeReply(code, status, text));
    }
    const routed = recipientOf(recipient, decision);
    if (transaction.has(routed)) return this.#countExcess(transaction, replies.rcptOk);
    if (!transaction.reserve(routed)) {
      const reply = this.#refuseRecipient(transaction, address, replies.envelopeTooLarge);
      return this.#countExcess(transaction, reply);
    }
    const inlineDelivery = this.#inlineDelivery(transaction, routed, decision);
    if (inlineDelivery !== undefined) return this.#askServer(inlineDelivery, transaction, routed, decision);
    transaction.add(routed, decision);
    return replies.rcptOk;
  }

  /** The message was accepted or refused, or the client has given it up. */
  closeTransaction(): void {
    this.#transaction?.close();
    this.#transaction = undefined;
  }

  #openTransaction(command: MailCommand, isAdmitted: boolean): Reply {
    if (!isAdmitted) {
      const reply = replies.tooManyMessages;
      const { helo } = this.#session.greeting;
      this.#sessionLog.refused("MAIL", reply, { helo, from: command.reversePath });
      return this.#budget.countError(reply);
    }
    this.#transaction = new ClientTransaction(command, this.#profile.envelopeMemory.open());
    return replies.mailOk;
  }

  /** The transaction's inline delivery, if this recipient goes that way: its first such recipient decides the next hop. */
  #inlineDelivery(
    transaction: ClientTransaction,
    recipient: Recipient,
    route: Route,
  ): { delivery: InlineDelivery; inline: Inline } | undefined {
    const { inline } = this.#profile;
    if (inline === undefined || !mayGoInline(inline, transaction, recipient, route)) return undefined;
    const { envelope, declaredOctets } = transaction;
    const { connection, greeting } = this.#session;
    transaction.inlineDelivery ??= openInlineDelivery(
      inline,
      {
        envelope,
        declaredOctets,
        origin: originOf({ connection, ...greeting, envelope }),
        client: clientName(connection),
      },
      route,
    );
    const delivery = transaction.inlineDelivery;
    return delivery.leadsTo(route) ? { delivery, inline } : undefined;
  }

  /** Answers in bounded time. A recipient that the server cannot take now is accepted too, and left to the queue. */
  async #askServer(
    { delivery, inline }: { delivery: InlineDelivery; inline: Inline },
    transaction: ClientTransaction,
    recipient: Recipient,
    route: Route,
  ): Promise<Reply | undefined> {
    this.#isAskingServer = true;
    const answer = await delivery.askRecipient(recipient);
    this.#isAskingServer = false;
    const isOpen = this.#transaction === transaction;
    if (answer.kind === "rejected") {
      inline.metrics.count("rejected", 1);
      if (!isOpen) return undefined;
      const reply = refusalForClient(answer.diagnosis);
      return this.#denyRecipient(transaction, recipient.address, reply, refusingServer(answer.diagnosis));
    }
    delivery.note(transaction.recipientCount, answer);
    transaction.add(recipient, route);
    return isOpen ? replies.rcptOk : undefined;
  }

  /**
   * A client may name recipients again, and sends those beyond the limit in its next transaction (RFC 5321 §4.5.3.1.10): as
   * many as the limit are no errors.
   */
  #countExcess(transaction: ClientTransaction, reply: Reply): Reply {
    transaction.excessRecipients++;
    const isWithinReason = transaction.excessRecipients <= this.#profile.maxRecipients;
    return isWithinReason ? reply : this.#budget.countError(reply);
  }

  #denyRecipient(
    transaction: ClientTransaction,
    recipient: string,
    reply: Reply,
    facts: { remote?: string } = {},
  ): Reply {
    return this.#budget.countDenied(this.#refuseRecipient(transaction, recipient, reply, facts));
  }

  /** @property remote  the server whose refusal it is */
  #refuseRecipient(
    transaction: ClientTransaction,
    recipient: string,
    reply: Reply,
    facts: { remote?: string } = {},
  ): Reply {
    transaction.refusedRecipients++;
    const { helo } = this.#session.greeting;
    const from = transaction.envelope.reversePath;
    this.#sessionLog.refused("RCPT", reply, { helo, from, to: [recipient], ...facts });
    return reply;
  }
}

/** The recipient to store. No server is asked to report about the postmaster either (RFC 3461 §4.1: NOTIFY=NEVER). */
function recipientOf(
  recipient: Recipient,
  { address, isPostmaster }: Exclude<RecipientDecision, { row: "denied" }>,
): Recipient {
  if (isPostmaster !== true) return { ...recipient, address };
  return { address, notify: [], isPostmaster };
}
