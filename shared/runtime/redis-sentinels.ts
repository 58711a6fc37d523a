/**
 * Finds the primary by asking sentinels. As ioredis does it, but: a sentinel that hangs costs a second, every connection
 * asks all sentinels before it says that they are unreachable, and one that is away is nobody's error while others answer.
 */
import { type Redis, SentinelConnector } from "ioredis";

/** For connecting to a sentinel, and for its answer: the host of a primary that vanished may have run one. */
const sentinelMs = 1_000;

/** Private to ioredis 6.0.0. */
interface Inside {
  connecting: boolean;
  sentinelIterator: { cursor: number; reset(startWithCurrent: boolean): void };
  connectToSentinel(endpoint: unknown, options?: object): Redis;
  initFailoverDetector(): Promise<void>;
}

export class PromptSentinelConnector extends SentinelConnector {
  constructor(options: unknown) {
    super(options as ConstructorParameters<typeof SentinelConnector>[0]);
    const inside = this as unknown as Inside;
    const { connectToSentinel, initFailoverDetector } = inside;
    inside.connectToSentinel = (endpoint, more = {}) => {
      const limits = { connectTimeout: sentinelMs, commandTimeout: sentinelMs };
      const client = connectToSentinel.call(this, endpoint, { ...limits, ...more });
      // It would be printed on standard error. When all fail, the connection says so.
      client.on("error", () => {});
      return client;
    };
    // Of a connection that was closed meanwhile, the subscriptions would keep the process alive.
    inside.initFailoverDetector = async () => {
      if (inside.connecting) await initFailoverDetector.call(this);
    };
  }

  override connect(
    emit: Parameters<SentinelConnector["connect"]>[0],
  ): ReturnType<SentinelConnector["connect"]> {
    const { sentinelIterator } = this as unknown as Inside;
    // ioredis goes on after the last one that it asked, and calls all unreachable when it has come to the end.
    if (sentinelIterator.cursor > 0) sentinelIterator.reset(true);
    return super.connect(emit);
  }
}
