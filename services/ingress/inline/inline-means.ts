/**
 * What the process lends to inline delivery: connections within the cluster's limits, the hold rules, the way to the
 * bounce queue. Owns the first two; close() ends them.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { createHolds } from "../../../shared/queue/holds.ts";
import { createLeases } from "../../../shared/queue/leases.ts";
import type { Producer } from "../../../shared/queue/queue.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { RedisConfig } from "../../../shared/runtime/redis.ts";
import { createTransport } from "../../../shared/transport/create-transport.ts";
import { transparentSource } from "../../../shared/transport/hidden-source.ts";
import { silencePolicy } from "../../../shared/transport/silence.ts";
import type { InlineMeans } from "./inline.ts";
import { createNotices } from "./notices.ts";

export interface OwnedInlineMeans extends InlineMeans {
  /** When the sessions have ended: what is under way with far servers is cut off. */
  close(): Promise<void>;
}

/** @returns `undefined` where nothing is to be delivered inline */
export function createInlineMeans(options: {
  config: Config;
  redis: RedisConfig;
  holdsFile: string;
  log: Logger;
  producer: Pick<Producer, "addBounce">;
}): OwnedInlineMeans | undefined {
  const { config, redis, holdsFile, log, producer } = options;
  if (!config.protected.some(({ inline }) => inline)) return undefined;
  const slots = createLeases({ redis, log, silence: silencePolicy(config) });
  const transport = createTransport(config, { slots, transparentSourceOf: transparentSource(config, log) });
  const holds = createHolds({ redis, file: holdsFile, log });
  const notices = createNotices(producer, log);
  let areHoldsKnown = false;
  void holds.ready.then(() => {
    areHoldsKnown = true;
  });
  return {
    transport,
    notices,
    // Until the rules are known, any mail may be held: the queue, which waits for them too, takes it.
    isHeld: ({ from, to, route }) =>
      !areHoldsKnown || holds.match({ id: "", part: 0, from, to: [to], route }) !== undefined,
    async close() {
      await transport.close(0);
      notices.close();
      await Promise.all([holds.close(), slots.close()]);
    },
  };
}
