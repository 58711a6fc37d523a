/** Which senders get which delivery status notifications: `dsn.to` and `dsn.delays_to`. Pure. */
import type { Config } from "../config/schema.ts";
import type { NotifyEvent } from "../mail/envelope.ts";
import type { MessageMeta } from "../mail/message.ts";
import { isReturnable } from "../mail/notify.ts";
import { NetworkSet } from "../net/network-set.ts";

export interface ReportPolicy {
  /** Why the sender gets no such report, although the envelope asks for it: one sentence for the operator. */
  whyWithheld(message: Pick<MessageMeta, "envelope" | "origin">, event: NotifyEvent): string | undefined;
}

export function compileReportPolicy({ dsn, relay }: Pick<Config, "dsn" | "relay">): ReportPolicy {
  const relayClients = new NetworkSet(relay.clients);
  /** A stranger's address may be forged; whoever may relay is known. */
  const mayRelay = (origin: MessageMeta["origin"]): boolean =>
    origin === null || origin.user !== undefined || relayClients.contains(origin.connection.client.address);

  return {
    whyWithheld({ envelope, origin }, event) {
      if (!isReturnable(envelope.reversePath))
        return "its sender cannot be notified: there is no address to return mail to";
      for (const setting of event === "DELAY" ? (["to", "delays_to"] as const) : (["to"] as const)) {
        const to = dsn[setting];
        if (to === "none") return `its sender is not notified: dsn.${setting} is none`;
        if (to === "local" && !mayRelay(origin))
          return `its sender may not relay and is not notified: dsn.${setting} is local`;
      }
      return undefined;
    },
  };
}
