/** Asks the servers of a Redis Cluster which of them has a slot. One that hangs delays the answer of the others by a moment. */

export interface Server {
  host: string;
  port: number;
}

/** @returns the primary of the slot as this server knows it: itself, if it takes commands for the slot now */
export type Ask = (server: Server) => Promise<Server>;

export interface SearchOptions {
  /** A server that has not answered after so long is not waited for alone: the next one is asked as well. */
  nextAfterMs: number;
  signal: AbortSignal;
}

/** Servers that have not heard of a failover may name each other in a ring. */
const longestChain = 3;

export const nameOf = ({ host, port }: Server): string => `${host}:${port}`;

/**
 * Asks one after the other, and those at once that others name. Servers that have answered are asked again while one still
 * hangs: meanwhile another may have taken over from it.
 * @returns the one that calls itself the primary
 * @throws Error with the last failure, when all have failed or name one that has; the reason of `signal`
 */
export function findPrimary(servers: readonly Server[], ask: Ask, options: SearchOptions): Promise<Server> {
  const { nextAfterMs, signal } = options;
  return new Promise((resolve, reject) => {
    const asking = new Set<string>();
    const failed = new Set<string>();
    let position = 0;
    let lastFailure = "none names one that does";

    const settle = (act: () => void): void => {
      clearInterval(timer);
      signal.removeEventListener("abort", abort);
      act();
    };
    const askNext = (): void => {
      for (let skipped = 0; skipped < servers.length; skipped++) {
        const server = servers[position++ % servers.length];
        if (server === undefined || asking.has(nameOf(server)) || failed.has(nameOf(server))) continue;
        askOne(server, longestChain);
        return;
      }
    };
    const goOn = (): void => {
      if (position < servers.length) askNext();
      if (asking.size > 0) return;
      settle(() => reject(new Error(`no server of the cluster takes commands: ${lastFailure}`)));
    };
    const askOne = (server: Server, mayName: number): void => {
      const name = nameOf(server);
      asking.add(name);
      ask(server).then(
        (primary) => {
          asking.delete(name);
          if (nameOf(primary) === name) return settle(() => resolve(server));
          const isNews = !asking.has(nameOf(primary)) && !failed.has(nameOf(primary));
          if (isNews && mayName > 0) askOne(primary, mayName - 1);
          else if (asking.size === 0) goOn();
        },
        (error: Error) => {
          asking.delete(name);
          failed.add(name);
          lastFailure = error.message;
          goOn();
        },
      );
    };
    const abort = (): void => settle(() => reject(signal.reason));
    const timer = setInterval(askNext, nextAfterMs);
    signal.addEventListener("abort", abort);
    askNext();
  });
}
