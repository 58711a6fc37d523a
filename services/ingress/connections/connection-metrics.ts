/** The metrics of client connections, and of what passes through the outgoing proxy and tunnels. */
import type { LabelledCounter, Metrics, Tally } from "../../../shared/runtime/metrics.ts";

export class ConnectionMetrics {
  readonly #connections: LabelledCounter | undefined;
  readonly #refused: LabelledCounter | undefined;
  readonly #transactions: LabelledCounter | undefined;
  readonly #notInspected: LabelledCounter | undefined;
  readonly #ended: LabelledCounter | undefined;
  readonly #octetsToServer: Tally | undefined;
  readonly #octetsToClient: Tally | undefined;
  readonly #active = new Map<string, number>();

  /** @param metrics  of the process; absent: nothing is counted */
  constructor(metrics?: Metrics) {
    this.#connections = metrics?.counter(
      "connections_total",
      "Connections by the row of the routing table that decided, and what handled them.",
      ["listener", "row", "handler"],
    );
    this.#refused = metrics?.counter(
      "connections_refused_total",
      "Connections ended before they were classified.",
      ["listener", "reason"],
    );
    this.#transactions = metrics?.counter(
      "proxy_transactions_total",
      "Mail transactions seen by the outgoing proxy.",
      ["result"],
    );
    this.#notInspected = metrics?.counter(
      "proxy_not_inspected_total",
      "Sessions of the outgoing proxy that became opaque.",
      ["reason"],
    );
    this.#ended = metrics?.counter(
      "proxy_sessions_ended_total",
      "Sessions of the outgoing proxy that were ended because a policy was in force and could not be held any longer.",
      ["reason"],
    );
    const octets = metrics?.counter(
      "proxy_octets_total",
      "Octets passed by the outgoing proxy and by tunnels.",
      ["direction"],
    );
    this.#octetsToServer = octets?.with("to-server");
    this.#octetsToClient = octets?.with("to-client");
    metrics?.gauge("connections_active", "Open connections by what handles them.", () => this.#active, [
      "handler",
    ]);
  }

  connectionOpened(listener: string, row: string, handler: string): void {
    this.#connections?.with(listener, row, handler).add();
    this.#active.set(handler, (this.#active.get(handler) ?? 0) + 1);
  }

  connectionClosed(handler: string): void {
    this.#active.set(handler, (this.#active.get(handler) ?? 0) - 1);
  }

  /** @param reason  `untrusted-proxy`, `malformed-header`, `header-timeout` */
  connectionRefused(listener: string, reason: string): void {
    this.#refused?.with(listener, reason).add();
  }

  transaction(result: string): void {
    this.#transactions?.with(result).add();
  }

  notInspected(reason: string): void {
    this.#notInspected?.with(reason).add();
  }

  sessionEnded(reason: string): void {
    this.#ended?.with(reason).add();
  }

  passedToServer(octets: number): void {
    this.#octetsToServer?.add(octets);
  }

  passedToClient(octets: number): void {
    this.#octetsToClient?.add(octets);
  }
}
