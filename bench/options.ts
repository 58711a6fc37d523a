/** What every measurement is given. */
export interface BenchOptions {
  /** Pairs of each measurement. */
  rounds: number;
  /** 1: the full load; less for a quick look. */
  scale: number;
  /** A line of progress. */
  say(line: string): void;
}
