/** What a spool has done since it was opened, for metrics. Each only rises, except `largestBatch`. */
export interface SpoolCounters {
  /** Messages committed. */
  commits: number;
  /** Writes that contained them; commits / batches is the mean batch size. */
  batches: number;
  largestBatch: number;
  /** Of segments: one for each batch. */
  fdatasyncs: number;
  /** Octets of records, without large bodies. */
  bytesWritten: number;
  /** Bodies that went to a file of their own. */
  largeBodies: number;
  segmentsOpened: number;
  /** Settlements recorded, and the writes that contained them. */
  settlements: number;
  settleWrites: number;
  /** Messages read. */
  reads: number;
  /** Records or ranges of files that were found damaged. */
  damages: number;
}

export function zeroCounters(): SpoolCounters {
  return {
    commits: 0,
    batches: 0,
    largestBatch: 0,
    fdatasyncs: 0,
    bytesWritten: 0,
    largeBodies: 0,
    segmentsOpened: 0,
    settlements: 0,
    settleWrites: 0,
    reads: 0,
    damages: 0,
  };
}
