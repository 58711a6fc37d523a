/** What went wrong in a spool without any caller to tell: for the log. */

export type SpoolTrouble =
  /** Octets of a segment or log that are not what was written. What stands behind them is still read. */
  | { kind: "damaged"; place: string; offset: number; length: number }
  /** This process was silent for so long that others took its files as finished. It goes on under a new name. */
  | { kind: "fenced"; writer: string }
  /** Refused records could not be wiped out: after a restart they may be delivered although they were refused. */
  | { kind: "not-wiped"; place: string; error: unknown }
  /** Something that is done again by itself. */
  | { kind: "background"; doing: string; error: unknown };

export type OnTrouble = (trouble: SpoolTrouble) => void;
