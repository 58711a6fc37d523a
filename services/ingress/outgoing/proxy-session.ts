/** One session of the outgoing proxy: the dialogue, the tunnel under it, and what the log says of both. */
import type net from "node:net";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { formatEndpoint } from "../../../shared/net/endpoint.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { MailLimit } from "../connections/client-limits.ts";
import type { ConnectionMetrics } from "../connections/connection-metrics.ts";
import { Tunnel, type TunnelEnd } from "../connections/tunnel.ts";
import { Dialogue, type DialogueSink, type OpaqueReason } from "./dialogue.ts";
import type { ObservedTransaction, TransactionResult } from "./observed-transactions.ts";
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
  ended(): void;
}

export class ProxySession implements DialogueSink {
  readonly #connection: ClientConnection;
  readonly #options: ProxySessionOptions;
  readonly #dialogue: Dialogue;
  readonly #tunnel: Tunnel;
  /** Whose session it is, for the log. */
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
    const dialogue = this.#dialogue;
    this.#tunnel = new Tunnel(client, server, {
      idleMs: options.idleMs,
      watcher: {
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
        clientEnded: () => dialogue.clientEnded(),
        serverGone: () => this.#serverGone(),
      },
      ended: (how) => this.#ended(how),
    });
  }

  start(): void {
    this.#tunnel.start();
  }

  /** Ends between transactions: now, or as soon as nothing is under way. What is opaque cannot tell and runs on. */
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
    const tell = (isAdmitted: boolean): boolean => {
      if (!isAdmitted) {
        this.#options.log.info({
          event: "message.refused",
          ...this.#named,
          stage: "MAIL",
          reply: replies.tooManyMessages.octets.toString("latin1").trimEnd(),
        });
      }
      return isAdmitted;
    };
    return typeof decision === "boolean" ? tell(decision) : decision.then(tell);
  }

  wentOn(): void {
    this.#tunnel.goOn();
  }

  toServer(octets: Buffer): void {
    this.#options.metrics.passedToServer(octets.length);
    this.#tunnel.toServer(octets);
  }

  toClient(octets: Buffer): void {
    this.#options.metrics.passedToClient(octets.length);
    this.#tunnel.toClient(octets);
  }

  transaction(transaction: ObservedTransaction): void {
    const { result } = transaction;
    this.#results[result] = (this.#results[result] ?? 0) + 1;
    this.#options.metrics.transaction(result);
    this.#options.log.info({
      event: "proxy.transaction",
      ...this.#named,
      ...transaction,
    });
  }

  opaque(reason: OpaqueReason): void {
    this.#opaqueReason = reason;
    this.#options.metrics.notInspected(reason);
  }

  serverBroken(reason: string): void {
    this.#reason = reason;
    if (!this.#serverGone()) this.#tunnel.stop("server-closed");
  }

  /** @returns true when the client hears 421 in place of the server's silence */
  #serverGone(): boolean {
    const dialogue = this.#dialogue;
    if (this.#options.onFailure === "drop" || dialogue.isClosing || !dialogue.maySpeak) return false;
    this.#tunnel.endClient(replies.serverLost.octets);
    return true;
  }

  #ended(how: TunnelEnd): void {
    this.#dialogue.ended();
    this.#options.log.info({
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
