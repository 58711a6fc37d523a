/**
 * The work on jobs in this process: one run of a job at a time. After a failover Redis may come back a moment older, and
 * a job that is being worked on is then handed out once more: such a start joins the run, and both end the job as the
 * run says. It owns nothing.
 */
import type { JobEnd, StartedJob } from "./bullmq/bullmq-worker.ts";

export class JobRuns {
  readonly #runs = new Map<string, Run>();

  /** @param work  must not throw; its signal is aborted when the latest start of the job is */
  start(started: StartedJob, work: (started: StartedJob) => Promise<JobEnd>): Promise<JobEnd> {
    const { jobId, signal } = started;
    const underWay = this.#runs.get(jobId);
    if (underWay !== undefined) {
      underWay.follow(signal);
      return underWay.end;
    }
    const run = new Run(started, work);
    this.#runs.set(jobId, run);
    return run.end.finally(() => this.#runs.delete(jobId));
  }
}

class Run {
  readonly end: Promise<JobEnd>;
  readonly #controller = new AbortController();
  #latest: AbortSignal | undefined;

  constructor(started: StartedJob, work: (started: StartedJob) => Promise<JobEnd>) {
    this.follow(started.signal);
    this.end = work({ ...started, signal: this.#controller.signal });
  }

  follow(signal: AbortSignal): void {
    this.#latest = signal;
    const abort = (): void => {
      if (this.#latest === signal) this.#controller.abort(signal.reason);
    };
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  }
}
