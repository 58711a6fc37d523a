/** Takes from the log of the gateway what the model needs. */
import type { Recorder } from "../history/recorder.ts";

const wanted = new Set([
  "delivery.delivered",
  "delivery.rejected",
  "delivery.deferred",
  "dsn.made",
  "message.dead",
  "spool.trouble",
]);

export function recordLogLine(recorder: Recorder, process: string, line: string): void {
  if (!line.startsWith("{")) return;
  const { event, id, to, from, possiblyDelivered, level, message } = parse(line);
  if (level === "fatal" || level === 60) {
    recorder.record({ kind: "logged", process, event: "fatal", text: String(message) });
    return;
  }
  if (message === "compared the queues with the spool") {
    recorder.record({ kind: "logged", process, event: "scan" });
    return;
  }
  if (typeof event !== "string" || !wanted.has(event)) return;
  // Most deferrals say nothing that the servers do not know themselves.
  if (event === "delivery.deferred" && possiblyDelivered !== true) return;
  recorder.record({
    kind: "logged",
    process,
    event,
    ...(typeof id === "string" ? { id } : {}),
    ...(typeof to === "string" ? { to } : {}),
    ...(typeof from === "string" ? { from } : {}),
  });
}

function parse(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    // A line that a killed process has not finished.
    return {};
  }
}
