/** The history by subject: what happened to each recipient, and which faults there were (pure). */
import type {
  Accepted,
  Copy,
  Fault,
  FaultKind,
  HistoryEvent,
  Left,
  Logged,
  Refused,
  Report,
  Unanswered,
} from "../history/events.ts";

/** A fault from its beginning to its end; one without an end lasts as long as the history. */
export interface Interval {
  fault: FaultKind;
  target: string;
  from: number;
  to: number;
}

export interface Timeline {
  accepted: Accepted[];
  /** Sent without a 250, by recipient. */
  notAccepted: Map<string, Refused | Unanswered>;
  copies: Map<string, Copy[]>;
  /** Reports by the recipient that they are about. */
  reports: Map<string, { report: Report; action: string }[]>;
  serverRefused: Map<string, number[]>;
  /** Log lines by recipient. */
  logged: Map<string, Logged[]>;
  /** By recipient or, for notifications, by the sender to whom they go. */
  left: Map<string, Left[]>;
  /** Dead mail whose recipients nobody knows any more, by queue id. */
  deadUnknown: Set<string>;
  removed: Set<string>;
  faults: Interval[];
  /** Queue ids of destroyed mail by its recipients; for notifications, by the sender to whom they go. */
  destroyed: Map<string, string[]>;
  /** Queue ids of which something that was known is gone. */
  forgotten: Set<string>;
  /** When the queues were compared with the spool. */
  scans: number[];
  endAt: number;
}

export function timelineOf(history: readonly HistoryEvent[]): Timeline {
  const timeline: Timeline = {
    accepted: [],
    notAccepted: new Map(),
    copies: new Map(),
    reports: new Map(),
    serverRefused: new Map(),
    logged: new Map(),
    left: new Map(),
    deadUnknown: new Set(),
    removed: new Set(),
    faults: [],
    destroyed: new Map(),
    forgotten: new Set(),
    scans: [],
    endAt: history.at(-1)?.at ?? 0,
  };
  for (const event of history) {
    switch (event.kind) {
      case "accepted":
        timeline.accepted.push(event);
        break;
      case "refused":
      case "unanswered":
        for (const { address } of event.recipients) timeline.notAccepted.set(address, event);
        break;
      case "copy":
        for (const address of event.recipients) append(timeline.copies, address, event);
        break;
      case "report":
        for (const { address, action } of event.about)
          append(timeline.reports, address, { report: event, action });
        break;
      case "server-refused":
        for (const address of event.recipients) append(timeline.serverRefused, address, event.at);
        break;
      case "logged":
        if (event.event === "scan") timeline.scans.push(event.at);
        if (event.to !== undefined) append(timeline.logged, event.to, event);
        break;
      case "left":
        for (const address of event.to) append(timeline.left, address, event);
        if (event.status === "dead") timeline.deadUnknown.add(event.id.replace(/-\d+$/, ""));
        break;
      case "removed":
        for (const address of event.recipients) timeline.removed.add(address);
        break;
      case "fault":
        addFault(timeline, event);
        break;
      case "leftover":
        break;
    }
  }
  return timeline;
}

function addFault({ faults, destroyed, forgotten, endAt }: Timeline, event: Fault): void {
  for (const { id, recipients } of event.destroyed ?? []) {
    forgotten.add(id);
    for (const address of recipients) append(destroyed, address, id);
  }
  if (event.ended !== true) {
    const isMoment = momentary.has(event.fault);
    faults.push({
      fault: event.fault,
      target: event.target,
      from: event.at,
      to: isMoment ? event.at : endAt,
    });
    return;
  }
  const open = faults.findLast(({ fault, target }) => fault === event.fault && target === event.target);
  if (open !== undefined) open.to = event.at;
}

/** Faults without a duration. */
const momentary: ReadonlySet<FaultKind> = new Set([
  "kill",
  "flush",
  "old-dump",
  "torn-record",
  "flipped-byte",
  "clock",
  "reload",
]);

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
