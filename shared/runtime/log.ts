/**
 * The log: JSON lines of pino on standard output, with one event name for each fact. A fact is written by logEvent(), which
 * also hands it to the stream of events (shared/events), so that the two cannot differ.
 */
import { type Logger, type LoggerOptions, pino } from "pino";
import { ecsBase, ecsFields } from "./ecs.ts";
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
  | "message.held"
  | "message.released"
  | "message.retried"
  | "message.removed"
  | "message.requeued"
  | "message.rerouted"
  | "delivery.attempt"
  | "delivery.delivered"
  | "delivery.deferred"
  | "delivery.rejected"
  | "dsn.made"
  | "dsn.withheld"
  | "message.settled"
  | "message.dead"
  | "spool.trouble"
  | "pressure.begin"
  | "pressure.end"
  | "config.taken"
  | "config.refused"
  | "admin.change"
  | "admin.hold"
  | "admin.unhold"
  | "admin.export"
  | "admin.probe"
  | "admin.reload"
  | "admin.drain"
  | "admin.undrain";

/** The fields of one fact. */
export interface EventFields {
  event: EventName;
  [field: string]: unknown;
}

type Level = "debug" | "info" | "warn" | "error";

/** A log line as a value, which a decision returns. */
export interface LogLine {
  level: "info" | "warn" | "error";
  fields: EventFields;
}

/** Takes each fact that is logged. It must be quick, and must not throw. */
export interface EventSink {
  /**
   * @param whole  fields in full of which the log line has only the beginning
   * @param json   `fields` as JSON, if the log line needed it
   */
  add(fields: EventFields, whole?: Record<string, unknown>, json?: string): void;
}

const sinkOf = Symbol("events");
const writerOf = Symbol("lines");
type OwnLogger = Logger & {
  [sinkOf]?: EventSink;
  /** Writes the line of a fact. @param json  of its fields, at least one */
  [writerOf]?: (level: Level, json: string) => void;
};

/** A logger whose events also go to `sink`. The lines of `log` itself do not. */
export function withEventSink(log: Logger, sink: EventSink): Logger {
  const own: OwnLogger = log.child({});
  own[sinkOf] = sink;
  const writer = writerIn(log);
  if (writer !== undefined) own[writerOf] = writer;
  return own;
}

/** Writes one fact to the log, and to the stream of events where the logger has one. @param whole  as EventSink.add() */
export function logEvent(log: Logger, fields: EventFields, whole?: Record<string, unknown>): void {
  writeEvent(log, "info", fields, whole);
}

/** @param message  for people, beside the fields */
export function writeEvent(
  log: Logger,
  level: Level,
  fields: EventFields,
  whole?: Record<string, unknown>,
  message?: string,
): void {
  const writer = message === undefined && fields.err === undefined ? writerIn(log) : undefined;
  const json = writer === undefined ? undefined : jsonOf(fields);
  if (writer !== undefined && json !== undefined) {
    if (log.isLevelEnabled(level)) writer(level, json);
  } else if (message === undefined) {
    log[level](fields);
  } else {
    log[level](fields, message);
  }
  (log as OwnLogger)[sinkOf]?.add(fields, whole, json);
}

/** Its own only: a child with further fields has another. */
function writerIn(log: OwnLogger): OwnLogger[typeof writerOf] {
  return Object.hasOwn(log, writerOf) ? log[writerOf] : undefined;
}

/** @returns `undefined` for what only pino can write, such as an object that contains itself */
function jsonOf(fields: EventFields): string | undefined {
  try {
    return JSON.stringify(fields);
  } catch {
    return undefined;
  }
}

export function writeLine(log: Logger, { level, fields }: LogLine): void {
  writeEvent(log, level, fields);
}

/** How the fields of a line are named: `log.format` of the configuration. */
export type LogFormat = "postern" | "ecs";

/** @param destination  standard output when absent */
export function createLogger(
  service: string,
  destination?: { write(line: string): void },
  format: LogFormat = "postern",
): Logger {
  const output = destination ?? createLogOutput();
  if (format === "ecs") return pino(ecsOptions(service), output);
  const log: OwnLogger = pino(ownOptions(service), output);
  // The same line as pino's, which would take each field by itself: events are most of what is logged.
  const base = JSON.stringify({ service, pid: process.pid }).slice(1, -1);
  log[writerOf] = (level, json) => {
    output.write(`{"level":"${level}"${isoTime("time")},${base},${json.slice(1)}\n`);
  };
  return log;
}

function ownOptions(service: string): LoggerOptions {
  return {
    base: { service, pid: process.pid },
    timestamp: () => isoTime("time"),
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: "message",
  };
}

function ecsOptions(service: string): LoggerOptions {
  return {
    base: ecsBase(service, process.pid),
    timestamp: () => isoTime("@timestamp"),
    formatters: { level: (label: string) => ({ "log.level": label }), log: ecsFields },
    messageKey: "message",
  };
}

let second = Number.NaN;
/** `2026-12-01T02:44:13.` */
let secondText = "";

/** Lines of the same second share the formatted time: formatting it costs more than any other part of a line. */
function isoTime(key: "time" | "@timestamp"): string {
  const nowMs = Date.now();
  const thisSecond = Math.floor(nowMs / 1000);
  if (thisSecond !== second) {
    second = thisSecond;
    secondText = new Date(nowMs).toISOString().slice(0, -"000Z".length);
  }
  const ms = String(nowMs - thisSecond * 1000).padStart(3, "0");
  return `,"${key}":"${secondText}${ms}Z"`;
}
