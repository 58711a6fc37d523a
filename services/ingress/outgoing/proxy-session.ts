/** One session of the outgoing proxy: the dialogue, the tunnel under it, and the log lines of both. */
import type net from "node:net";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import { type Logger, logEvent } from "../../../shared/runtime/log.ts";
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import type { MailLimit } from "../connections/client-limits.ts";
import type { ConnectionMetrics } from "../connections/connection-metrics.ts";
import { Tunnel, type TunnelEnd, type Watcher } from "../connections/tunnel.ts";
import type { OpaqueReason } from "./client-framing.ts";
import { Dialogue, type DialogueSink } from "./dialogue.ts";
import type { ObservedTransaction, TransactionResult } from "./observed-transactions.ts";
import type { EndReason } from "./out-of-step.ts";
import { replies } from "./proxy-replies.ts";
import type { ProxyRules } from "./rules.ts";

export interface ProxySessionOptions {
  rules: ProxyRules;
  /** `outgoing.on_failure`. */
  onFailure: "drop" | "421";
  idleMs: number;
  log: Logger;
  metrics: ConnectionMetrics;
  /** Absent: a client may send as many messages as it likes. */
  mailLimit?: MailLimit;
  /** Hears of each transaction; absent: nobody wants to. */
  observed?(transaction: ObservedTransaction): void;
  ended(): void;
}

export class ProxySession implements DialogueSink {
  readonly #connection: ClientConnection;
  readonly #options: ProxySessionOptions;
  readonly #dialogue: Dialogue;
  readonly #tunnel: Tunnel;
  /** The fields that name the session in each log line. */
  readonly #named: { session: string; client: string; server: string };
  readonly #startedAtMs = performance.now();
  readonly #results: Partial<Record<TransactionResult, number>> = {};
  #opaqueReason: OpaqueReason | undefined;
  /** Why it ended, when that says more than how the connections closed. */
  #reason: string | undefined;
  #isEndingWhenIdle = false;

  /** Both sockets are connected; the session owns them from here on. */
  constructor(
    client: net.Socket,
    server: net.Socket,
    connection: ClientConnection,
    options: ProxySessionOptions,
  ) {
    this.#connection = connection;
    const { id, client: from, destination } = connection;
    this.#named = { session: id, client: from.address, server: formatEndpoint(destination) };
    this.#options = options;
    this.#dialogue = new Dialogue(options.rules, this);
    this.#tunnel = new Tunnel(client, server, {
      idleMs: options.idleMs,
      watcher: this.#makeWatcher(),
      ended: (how) => this.#ended(how),
    });
  }

  start(): void {
    this.#tunnel.start();
  }

  /** Ends between transactions: now, or as soon as nothing is under way. An opaque session is never known to be idle. */
  endWhenIdle(): void {
    this.#isEndingWhenIdle = true;
    if (!this.#dialogue.isIdle) return;
    this.#isEndingWhenIdle = false;
    this.#reason = "stopping";
    this.#tunnel.endClient(replies.closing.octets);
  }

  /** Cuts both connections now. */
  stop(): void {
    this.#reason = "stopping";
    this.#tunnel.stop("stopped");
  }

  admitMail(): boolean | Promise<boolean> {
    const decision = this.#options.mailLimit?.(this.#connection) ?? true;
    if (typeof decision !== "boolean") {
      return decision.then((isAdmitted) => {
        if (!isAdmitted) this.#logTooManyMessages();
        return isAdmitted;
      });
    }
    if (!decision) this.#logTooManyMessages();
    return decision;
  }

  heldInputRead(): void {
    this.#tunnel.goOn();
  }

  sendToServer(octets: Buffer): void {
    this.#options.metrics.passedToServer(octets.length);
    this.#tunnel.sendToServer(octets);
  }

  sendToClient(octets: Buffer): void {
    this.#options.metrics.passedToClient(octets.length);
    this.#tunnel.sendToClient(octets);
  }

  transactionEnded(transaction: ObservedTransaction): void {
    const { result } = transaction;
    this.#results[result] = (this.#results[result] ?? 0) + 1;
    const { accepted, refused } = transaction;
    this.#options.metrics.transaction(result, accepted.count, refused.count);
    this.#options.observed?.(transaction);
    logEvent(this.#options.log, {
      event: "proxy.transaction",
      ...this.#named,
      ...transaction,
    });
  }

  becameOpaque(reason: OpaqueReason): void {
    this.#opaqueReason = reason;
    this.#options.metrics.notInspected(reason);
  }

  endDialogue(reason: EndReason, lastReply: WholeReply | undefined): void {
    this.#reason = reason;
    this.#options.metrics.sessionEnded(reason);
    if (lastReply === undefined) this.#tunnel.stop("stopped");
    else this.#tunnel.endClient(lastReply.octets);
  }

  #makeWatcher(): Watcher {
    const dialogue = this.#dialogue;
    return {
      fromClient: (octets) => dialogue.fromClient(octets),
      fromServer: (octets) => {
        dialogue.fromServer(octets);
        if (this.#isEndingWhenIdle) this.endWhenIdle();
      },
      get isHolding() {
        return dialogue.isHolding;
      },
      get mayAnswer() {
        return !dialogue.isOpaque;
      },
      serverGone: () => this.#replaceServer(),
    };
  }

  /** @returns true when the client gets 421 in place of the replies that the server no longer sends */
  #replaceServer(): boolean {
    const dialogue = this.#dialogue;
    if (this.#options.onFailure === "drop" || dialogue.isClosing || !dialogue.maySpeak) return false;
    this.#tunnel.endClient(replies.serverLost.octets);
    return true;
  }

  #logTooManyMessages(): void {
    logEvent(this.#options.log, {
      event: "message.refused",
      ...this.#named,
      stage: "MAIL",
      reply: replies.tooManyMessages.octets.toString("latin1").trimEnd(),
    });
  }

  #ended(how: TunnelEnd): void {
    this.#dialogue.ended();
    logEvent(this.#options.log, {
      event: "session.close",
      ...this.#named,
      how,
      reason: this.#reason,
      octetsToServer: this.#tunnel.octetsToServer,
      octetsToClient: this.#tunnel.octetsToClient,
      transactions: this.#results,
      notInspected: this.#opaqueReason,
      durationMs: Math.round(performance.now() - this.#startedAtMs),
    });
    this.#options.ended();
  }
}
