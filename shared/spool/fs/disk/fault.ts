/** What went wrong in a spool without any caller to tell, and how the log says it. */
import { unreachable } from "../../../unreachable.ts";

export type SpoolFault =
  /** Octets of a segment or log that are not what was written. What stands behind them is still read. */
  | { kind: "damaged"; place: string; offset: number; length: number }
  /** This process was silent for so long that others took its files as finished. It goes on under a new name. */
  | { kind: "fenced"; writer: string }
  /** Refused records could not be wiped out: after a restart they may be delivered although they were refused. */
  | { kind: "not-wiped"; place: string; error: unknown }
  /** Something that is done again by itself. */
  | { kind: "background"; doing: string; error: unknown };

export type OnFault = (fault: SpoolFault) => void;

/** One line for who reads it at night: what it means, not only where. */
export function describeFault(fault: SpoolFault): string {
  switch (fault.kind) {
    case "damaged":
      return "the spool is damaged here: what stood there is lost, everything else is still read";
    case "fenced":
      return "this process was frozen for so long that others finished its spool files; it goes on with new ones";
    case "not-wiped":
      return "a message was refused and could not be wiped out: it may be delivered all the same after a restart";
    case "background":
      return `the spool failed at ${fault.doing}; it will be done again`;
    default:
      return unreachable(fault);
  }
}

/** The fields of its log line. */
export function faultFields(fault: SpoolFault): Record<string, unknown> {
  const { kind, ...facts } = fault;
  if (!("error" in facts)) return { event: "spool.trouble", kind, ...facts };
  const { error, ...rest } = facts;
  return { event: "spool.trouble", kind, err: error, ...rest };
}
