/** The log: JSON lines of pino on standard output, with one event name for each fact. */
import { type Logger, pino } from "pino";
import { createLogOutput } from "./log-output.ts";

export type { Logger } from "pino";

/** The event names that users may rely on (docs/operations.md). */
export type EventName =
  | "session.open"
  | "session.classified"
  | "session.refused"
  | "session.close"
  | "auth.accepted"
  | "auth.failed"
  | "proxy.transaction"
  | "message.accepted"
  | "message.refused"
  | "delivery.attempt"
  | "delivery.delivered"
  | "delivery.deferred"
  | "delivery.rejected"
  | "dsn.made"
  | "dsn.withheld"
  | "message.settled"
  | "message.dead"
  | "spool.trouble"
  | "admin.change"
  | "admin.hold"
  | "admin.unhold"
  | "admin.export";

/** A log line as a value, which a decision returns. */
export interface LogLine {
  level: "info" | "warn" | "error";
  fields: { event: EventName; [field: string]: unknown };
}

export function writeLine(log: Logger, { level, fields }: LogLine): void {
  log[level](fields);
}

/** @param destination  standard output when absent */
export function createLogger(service: string, destination?: { write(line: string): void }): Logger {
  const options = {
    base: { service, pid: process.pid },
    timestamp: isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: "message",
  };
  return pino(options, destination ?? createLogOutput());
}

let timeMs = 0;
let timeText = "";

/** Lines of the same millisecond share the formatted time. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== timeMs) {
    timeMs = nowMs;
    timeText = `,"time":"${new Date(nowMs).toISOString()}"`;
  }
  return timeText;
}
