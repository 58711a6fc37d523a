/** The options of every measurement. */
export interface BenchOptions {
  /** Pairs of runs for each measurement. */
  rounds: number;
  /** 1: the full load; less for a quick look. */
  scale: number;
  /** Prints a line of progress. */
  say(line: string): void;
}
