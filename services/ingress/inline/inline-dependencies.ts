/**
 * What inline delivery needs of the process: an SMTP client, the hold rules, and success reports to the bounce queue.
 * Owns all three; close() ends them.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { PhaseCounts } from "../../../shared/limits/connection-phases.ts";
import type { Limiter } from "../../../shared/limits/limiter.ts";
import type { Producer } from "../../../shared/queue/contract/queue.ts";
import { createHolds } from "../../../shared/queue/holds/store.ts";
import { createSuccessReports } from "../../../shared/queue/success-reports.ts";
import type { Commit } from "../../../shared/runtime/live.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { RedisConfig } from "../../../shared/runtime/redis.ts";
import { createSmtpClient, transparentSource } from "../../../shared/smtp-client/create-smtp-client.ts";
import type { InlineDeps } from "./inline.ts";

export interface OwnedInlineDeps extends InlineDeps {
  /** What is done with the connections to each destination now. */
  connections(): Map<string, PhaseCounts>;
  /** Deliveries that begin after the commit follow this configuration. */
  prepare(config: Config): Commit;
  /** To be called when the sessions have ended: cuts what is under way with remote servers. */
  close(): Promise<void>;
}

/** Whether anything is to be delivered inline. */
export function usesInline(config: Config): boolean {
  return config.protected.some(({ inline }) => inline);
}

export function createInlineDeps(options: {
  config: Config;
  redis: RedisConfig;
  holdsFile: string;
  log: Logger;
  producer: Pick<Producer, "addBounce">;
  /** The caller's; it limits connections to a destination in the whole cluster. */
  limiter: Limiter;
}): OwnedInlineDeps {
  const { config, redis, holdsFile, log, producer, limiter } = options;
  const transport = createSmtpClient(config, {
    limiter,
    transparentSourceOf: transparentSource(config, log),
  });
  const holds = createHolds({ redis, file: holdsFile, log });
  const successReports = createSuccessReports({ producer, log });
  let areHoldsKnown = false;
  void holds.ready.then(() => {
    areHoldsKnown = true;
  });
  return {
    transport,
    successReports,
    // Until the rules are known, any mail may be held: it goes to the queue, which waits for the rules too.
    isHeld: ({ from, to, route }) =>
      !areHoldsKnown ||
      holds.match({ id: "", part: 0, from, to: [to], route: route.label, aliases: route.aliases }) !==
        undefined,
    connections: () => transport.connections(),
    prepare: (next) => transport.prepare(next, transparentSource(next, log)),
    async close() {
      await transport.close(0);
      await successReports.close();
      await holds.close();
    },
  };
}
