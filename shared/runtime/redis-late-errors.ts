/** What ioredis leaves to nobody. Owns nothing. */
import type { AbstractConnector, Redis } from "ioredis";

/**
 * ioredis handles the first error of a socket. Over TLS another may follow, and would end the process.
 * @param redis  made with `lazyConnect`: it must not be on its way yet
 */
export function ignoreLateErrors(redis: Redis): void {
  const { connector } = redis as unknown as { connector: AbstractConnector };
  const connect = connector.connect.bind(connector);
  connector.connect = async (emit) => {
    const stream = await connect(emit);
    return stream.on("error", () => {});
  };
}
