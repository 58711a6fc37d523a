/**
 * Finds the primary by asking sentinels. As ioredis does it, but: a sentinel that hangs costs a second, every connection
 * asks all sentinels before it says that they are unreachable, and one that is away is nobody's error while others answer.
 */
import { type Redis, SentinelConnector } from "ioredis";
import type { Patience } from "./patience.ts";
import { ignoreLateErrors } from "./redis-late-errors.ts";

/** For connecting to a sentinel, and for its answer: the host of a primary that vanished may have run one. */
const sentinelMs = 1_000;

/** Private to ioredis 6.0.0. */
interface Inside {
  connecting: boolean;
  failoverDetector: { cleanup(): void } | null;
  sentinelIterator: { cursor: number; reset(startWithCurrent: boolean): void };
  connectToSentinel(endpoint: unknown, options?: object): Redis;
  initFailoverDetector(): Promise<void>;
}

class PromptSentinelConnector extends SentinelConnector {
  readonly #patience: Patience;

  constructor(options: unknown, patience: Patience) {
    super(options as ConstructorParameters<typeof SentinelConnector>[0]);
    this.#patience = patience;
    const inside = this as unknown as Inside;
    const { connectToSentinel, initFailoverDetector } = inside;
    inside.connectToSentinel = (endpoint, more = {}) => {
      const limitMs = patience.of(sentinelMs);
      const limits = { connectTimeout: limitMs, commandTimeout: limitMs };
      const client = connectToSentinel.call(this, endpoint, { ...limits, ...more, lazyConnect: true });
      ignoreLateErrors(client);
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
    const inside = this as unknown as Inside;
    const { sentinelIterator } = inside;
    // That of the connection before would end this search when it hears of the failover, and ioredis would give up for good.
    inside.failoverDetector?.cleanup();
    inside.failoverDetector = null;
    // ioredis goes on after the last one that it asked, and calls all unreachable when it has come to the end.
    if (sentinelIterator.cursor > 0) sentinelIterator.reset(true);
    return super.connect((type, error) => {
      // Of ioredis, when no sentinel has answered.
      if (type === "error" && /timed out|ETIMEDOUT/.test(error.message)) this.#patience.exceeded();
      emit(type, error);
    });
  }
}

/** @returns what ioredis makes its connector of */
export function sentinelConnector(patience: Patience): new (options: unknown) => SentinelConnector {
  return class extends PromptSentinelConnector {
    constructor(options: unknown) {
      super(options, patience);
    }
  };
}
