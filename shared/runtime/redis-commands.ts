/** What becomes of commands of ioredis when a connection breaks, or their deadline passes. Owns nothing. */
import type { Command, Redis } from "ioredis";

/** The text of ioredis for what was under way when a connection broke. */
export const closedMessage = "Connection is closed.";

/** A command that has failed by its deadline must not run afterwards: whoever sent it has gone on. */
export function dropExpired(redis: Redis): void {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, stream) =>
    isSettled(command) && stream === undefined ? command.promise : send(command, stream);
}

/** Commands without an answer when the connection breaks fail at once: whether they ran is not known. */
export function failUnanswered(redis: Redis): void {
  const { flushQueue } = redis as unknown as { flushQueue(error: Error, options: object): void };
  redis.on("close", () => flushQueue.call(redis, new Error(closedMessage), { offlineQueue: false }));
}

export function isSettled(command: Command): boolean {
  return (command as unknown as { isSettled: boolean }).isSettled;
}
