/** Formats log lines for people, which `postern up` shows on a terminal in place of JSON. Pure. */

const colours: Record<string, string> = { warn: "\x1b[33m", error: "\x1b[31m", fatal: "\x1b[31m" };
/** Fields that the head of the line shows, or that people do not need. */
const inHead = new Set(["level", "time", "service", "pid", "message", "event", "err"]);

/** @param line  JSON of pino; any other line is returned unchanged */
export function readableLine(line: string, colour: boolean): string {
  const parsed = parse(line);
  if (parsed === undefined) return line;
  const record = "@timestamp" in parsed ? withOwnNames(parsed) : parsed;
  const level = String(record.level ?? "info");
  const head = [
    String(record.time ?? "").slice(11, 23),
    String(record.service ?? "").padEnd(8),
    level === "info" ? undefined : level.toUpperCase(),
    record.event,
    record.message,
  ];
  const fields = Object.entries(record)
    .filter(([name, value]) => !inHead.has(name) && value !== undefined)
    .map(([name, value]) => `${name}=${show(value)}`);
  const stack = errorText(record.err);
  const text = [...head, ...fields].filter(Boolean).join(" ") + (stack && `\n${stack}`);
  const start = colour ? colours[level] : undefined;
  return start ? `${start}${text}\x1b[0m` : text;
}

/** A line with `log.format: ecs`: the fields of the head under our names, the others by their paths. */
function withOwnNames(line: Record<string, unknown>): Record<string, unknown> {
  const {
    "@timestamp": time,
    "log.level": level,
    "ecs.version": _,
    service,
    process: _p,
    message,
    error,
    ...rest
  } = line;
  const { action, ...ofEvent } = (rest.event ?? {}) as Record<string, unknown>;
  const { message: errorMessage, stack_trace: stack } = (error ?? {}) as Record<string, unknown>;
  return {
    time,
    level,
    service: (service as { name?: unknown } | undefined)?.name,
    event: action,
    message,
    ...(error === undefined ? {} : { err: { message: errorMessage, stack } }),
    ...flatten({ ...rest, event: ofEvent }),
  };
}

function flatten(fields: Record<string, unknown>, path = ""): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
    Object.assign(
      flat,
      isGroup ? flatten(value as Record<string, unknown>, `${path}${name}.`) : { [`${path}${name}`]: value },
    );
  }
  return flat;
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function show(value: unknown): string {
  if (typeof value === "string") return /^[^\s="]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value);
}

function errorText(err: unknown): string {
  if (typeof err !== "object" || err === null) return "";
  const { stack, message } = err as { stack?: string; message?: string };
  return stack ?? message ?? "";
}
