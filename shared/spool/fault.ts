/** Faults of a spool that no caller hears of by an exception, and their log lines. */
import { unreachable } from "../unreachable.ts";

export type SpoolFault =
  /** Octets of a segment or log that are not what was written. Records after them are still read. */
  | { kind: "damaged"; place: string; offset: number; length: number }
  /** The storage cannot read a file, an object or a part of it. Everything else is still read. */
  | { kind: "unreadable"; place: string; error: unknown }
  /** Other processes took this one for dead, and its files for finished. It goes on under a new name. */
  | { kind: "fenced"; writer: string }
  /** Refused records could not be erased: after a restart they may be delivered although they were refused. */
  | { kind: "not-wiped"; place: string; error: unknown }
  /** Work without a caller that failed and is repeated by itself. */
  | { kind: "background"; doing: string; error: unknown };

export type OnFault = (fault: SpoolFault) => void;

/** One line for an operator: the consequence, not only the place. */
export function describeFault(fault: SpoolFault): string {
  switch (fault.kind) {
    case "damaged":
      return "the spool is damaged: the octets at this place are lost, everything else is still read";
    case "unreadable":
      return "this part of the spool cannot be read: it is passed by, everything else is still read";
    case "fenced":
      return "this process was suspended for so long that others finished its spool files; it goes on with new ones";
    case "not-wiped":
      return "a refused message could not be erased from the spool: it may be delivered after a restart";
    case "background":
      return `the spool failed at ${fault.doing}; it will be done again`;
    default:
      return unreachable(fault);
  }
}

/** The fields of the log line. */
export function faultFields(fault: SpoolFault): Record<string, unknown> {
  const { kind, ...facts } = fault;
  if (!("error" in facts)) return { event: "spool.trouble", kind, ...facts };
  const { error, ...rest } = facts;
  return { event: "spool.trouble", kind, err: error, ...rest };
}
