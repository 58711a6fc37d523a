/** What every service is to the process that runs it. */

/** Live and ready, with a reason for each thing that is wrong. */
export interface Health {
  ready: boolean;
  /** One line each; empty when ready. */
  reasons: string[];
}

export interface RunningService {
  /** Where people and programs can reach it, for the start-up lines: `submission smtp://127.0.0.1:2525`. */
  listening?: string[];
  health(): Health | Promise<Health>;
  /** Takes nothing new, lets current transactions finish for up to `graceMs`, then ends them. */
  close(graceMs: number): Promise<void>;
}
