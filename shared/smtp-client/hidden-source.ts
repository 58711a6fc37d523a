/** Whose address a hidden delivery comes from: the client's own, where that can be done. */
import type { Config } from "../config/schema.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { Logger } from "../runtime/log.ts";
import { createTransparentSource } from "./session/transparent-source.ts";

/**
 * With `hide`, the protected server sees the client's own address. A process that cannot take it, since it does not run
 * on the gateway or has no CAP_NET_ADMIN, delivers from its own, and says so once.
 */
export function transparentSource(config: Config, log: Logger): (message: MessageMeta) => string | undefined {
  if (!config.protected.some(({ hide }) => hide)) return () => undefined;
  const canHide = createTransparentSource("protected[].hide", log);
  return ({ origin }) => {
    const client = origin?.connection.client.address;
    return client !== undefined && canHide(client) ? client : undefined;
  };
}
