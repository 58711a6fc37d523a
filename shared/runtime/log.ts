/** The log: pino JSON on standard output, one event name per fact. Owns nothing; standard output is closed by the process. */
import { type Logger, pino } from "pino";
import { createLogOutput } from "./log-output.ts";

export type { Logger } from "pino";

/** Every event that the outside may rely on. */
export type EventName =
  | "session.open"
  | "session.classified"
  | "session.refused"
  | "session.close"
  | "proxy.transaction"
  | "message.accepted"
  | "message.refused"
  | "delivery.attempt"
  | "delivery.delivered"
  | "delivery.deferred"
  | "delivery.rejected"
  | "dsn.made"
  | "message.settled"
  | "message.dead"
  | "spool.trouble"
  | "admin.change"
  | "admin.hold"
  | "admin.unhold"
  | "admin.export";

/** @param destination  where the lines go; standard output when absent */
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

/** Several lines of a millisecond share the text of their time. */
function isoTime(): string {
  const nowMs = Date.now();
  if (nowMs !== timeMs) {
    timeMs = nowMs;
    timeText = `,"time":"${new Date(nowMs).toISOString()}"`;
  }
  return timeText;
}
