/** Inline delivery as the sessions see it: whether a recipient may go that way, and the remote transaction for it. */
import type { Config } from "../../../shared/config/schema.ts";
import type { Envelope, Recipient } from "../../../shared/mail/envelope.ts";
import { mustHaveTls } from "../../../shared/mail/envelope.ts";
import type { Origin } from "../../../shared/mail/message.ts";
import type { SuccessReports } from "../../../shared/queue/success-reports.ts";
import { type Route, type RouteSummary, summarizeRoute } from "../../../shared/routing/route.ts";
import type { Metrics, Tally } from "../../../shared/runtime/metrics.ts";
import type { InlineSmtpClient } from "../../../shared/smtp-client/inline.ts";
import { InlineDelivery } from "./inline-delivery.ts";

/** What inline delivery needs of the process. */
export interface InlineDeps {
  transport: InlineSmtpClient;
  /** Whether an operator holds this mail: it must not bypass the queue then. */
  isHeld(mail: { from: string; to: string; route: RouteSummary }): boolean;
  successReports: Pick<SuccessReports, "publish">;
}

export interface Inline extends InlineDeps {
  metrics: InlineMetrics;
  /** Decides when the queue retries what was tried inline. */
  queue: Config["queue"];
}

/** What is known of the sender before the data. */
export interface InlineSender {
  envelope: Envelope;
  origin: Origin;
  declaredOctets: number | undefined;
  /** The client's address or network, by which its connections are counted. */
  client: string;
}

/** Whether this recipient's mail may be delivered while the client waits. */
export function mayGoInline(
  inline: Pick<InlineDeps, "isHeld">,
  { envelope }: Pick<InlineSender, "envelope">,
  { address }: Recipient,
  route: Route,
): boolean {
  // To find a host that honours REQUIRETLS may take all hosts of the next hop: the queue has the time.
  if (!route.inline || mustHaveTls(envelope)) return false;
  return !inline.isHeld({ from: envelope.reversePath, to: address, route: summarizeRoute(route) });
}

export function openInlineDelivery(
  { transport }: Pick<Inline, "transport">,
  { envelope, origin, declaredOctets, client }: InlineSender,
  route: Route,
): InlineDelivery {
  const transaction = transport.openInline({
    nextHop: route.nextHop,
    envelope,
    origin,
    client,
    ...(declaredOctets === undefined ? {} : { declaredOctets }),
  });
  return new InlineDelivery(route, transaction);
}

export type InlineResult = "delivered" | "rejected" | "queued";

export class InlineMetrics {
  readonly #results: Record<InlineResult, Tally | undefined>;

  /** @param metrics  of the process; absent: nothing is counted */
  constructor(metrics?: Metrics) {
    const recipients = metrics?.counter(
      "inline_recipients_total",
      "Recipients tried while the client waited: delivered, rejected by the remote server, or left to the queue. Many `queued`: the protected server is slow or away.",
      ["result"],
    );
    this.#results = {
      delivered: recipients?.with("delivered"),
      rejected: recipients?.with("rejected"),
      queued: recipients?.with("queued"),
    };
  }

  count(result: InlineResult, recipients: number): void {
    if (recipients > 0) this.#results[result]?.add(recipients);
  }
}
