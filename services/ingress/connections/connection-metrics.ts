/** The metrics of client connections, and of what passes through the outgoing proxy and tunnels. */
import {
  type LabelledCounter,
  type LabelledHistogram,
  type Metrics,
  secondsBuckets,
  type Tally,
} from "../../../shared/runtime/metrics.ts";

export class ConnectionMetrics {
  readonly #connections: LabelledCounter | undefined;
  readonly #refused: LabelledCounter | undefined;
  readonly #transactions: LabelledCounter | undefined;
  readonly #notInspected: LabelledCounter | undefined;
  readonly #ended: LabelledCounter | undefined;
  readonly #recipients: LabelledCounter | undefined;
  readonly #connects: LabelledHistogram | undefined;
  readonly #toServer: (Tally | undefined)[];
  readonly #toClient: (Tally | undefined)[];
  readonly #active = new Map<string, number>();

  /** @param metrics  of the process; absent: nothing is counted */
  constructor(metrics?: Metrics) {
    this.#connections = metrics?.counter(
      "connections_total",
      "Connections of clients by the row of the routing table that decided, and what handled them. Falls to nothing during the day: mail does not reach the gateway, look at the network and the interception.",
      ["listener", "row", "handler"],
    );
    this.#refused = metrics?.counter(
      "connections_refused_total",
      "Connections ended before they were classified, since their PROXY header was missing, malformed or from a stranger. Grows: a balancer is not in trusted_proxies, or somebody tries the port.",
      ["listener", "reason"],
    );
    this.#transactions = metrics?.counter(
      "proxy_transactions_total",
      "Mail transactions that passed through the outgoing proxy, by how they ended: accepted, refused by the server, or abandoned.",
      ["result"],
    );
    this.#notInspected = metrics?.counter(
      "proxy_not_inspected_total",
      "Sessions of the outgoing proxy that became opaque (STARTTLS, another protocol): their mail is in no other metric. See outgoing.starttls.",
      ["reason"],
    );
    this.#ended = metrics?.counter(
      "proxy_sessions_ended_total",
      "Sessions of the outgoing proxy that were ended because a policy was in force and could not be held any longer. Grows: somebody tries to get round it, or a server is unusual; see 'Sessions that a policy ended' in docs/operations.md.",
      ["reason"],
    );
    this.#recipients = metrics?.counter(
      "proxy_recipients_total",
      "Recipients in transactions of the outgoing proxy, accepted or refused by the server. Many refused: a client sends to guessed or bought addresses.",
      ["result"],
    );
    this.#connects = metrics?.histogram(
      "proxy_connect_seconds",
      "How long the outgoing proxy took to connect to the server that the client chose, which the client waits for, by result. Many `unreachable`: the clients' servers or the gateway's own way to them are down.",
      secondsBuckets,
      ["result"],
    );
    const bytes = metrics?.counter(
      "proxy_bytes_total",
      "Octets passed by the outgoing proxy and by tunnels.",
      ["direction"],
    );
    const octets = metrics?.counter(
      "proxy_octets_total",
      "Old name of postern_proxy_bytes_total; it goes with the next release.",
      ["direction"],
    );
    this.#toServer = [bytes?.with("to-server"), octets?.with("to-server")];
    this.#toClient = [bytes?.with("to-client"), octets?.with("to-client")];
    metrics?.gauge(
      "connections_active",
      "Open connections of clients by what handles them. Near limits.connections in sum: clients will hear 421 4.3.2; run another ingress, or raise the limit.",
      () => this.#active,
      ["handler"],
    );
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

  transaction(result: string, accepted: number, refused: number): void {
    this.#transactions?.with(result).add();
    if (accepted > 0) this.#recipients?.with("accepted").add(accepted);
    if (refused > 0) this.#recipients?.with("refused").add(refused);
  }

  /** @param result  `connected`, `unreachable`, `loop` */
  connectedToServer(result: string, seconds: number): void {
    this.#connects?.with(result).observe(seconds);
  }

  notInspected(reason: string): void {
    this.#notInspected?.with(reason).add();
  }

  sessionEnded(reason: string): void {
    this.#ended?.with(reason).add();
  }

  passedToServer(octets: number): void {
    for (const tally of this.#toServer) tally?.add(octets);
  }

  passedToClient(octets: number): void {
    for (const tally of this.#toClient) tally?.add(octets);
  }
}
