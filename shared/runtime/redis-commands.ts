/** What becomes of commands of ioredis when a connection breaks, or their deadline passes. Owns nothing. */
import type { Command, Redis } from "ioredis";

/** The text of ioredis for what was under way when a connection broke. */
export const closedMessage = "Connection is closed.";

/** What ioredis sends before a connection is ready. */
const greeting = new Set(["hello", "auth", "select", "client", "info"]);

/**
 * A command that has failed by its deadline must not run afterwards: whoever sent it has gone on.
 * @param deadlineMs  how long a command may take, time to connect included. Absent: without a limit
 */
export function limitCommands(redis: Redis, deadlineMs?: number): void {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, stream) => {
    if (isSettled(command) && stream === undefined) return command.promise;
    // How long a server may take to greet is for the heartbeat to say.
    const isGreeting = redis.status === "connect" && greeting.has(command.name);
    if (deadlineMs !== undefined && !isGreeting) command.setTimeout(deadlineMs);
    return send(command, stream);
  };
}

/** Commands without an answer when the connection breaks fail at once: whether they ran is not known. */
export function failUnanswered(redis: Redis): void {
  const { flushQueue } = redis as unknown as { flushQueue(error: Error, options: object): void };
  redis.on("close", () => flushQueue.call(redis, new Error(closedMessage), { offlineQueue: false }));
}

function isSettled(command: Command): boolean {
  return (command as unknown as { isSettled: boolean }).isSettled;
}
