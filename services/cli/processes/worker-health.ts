/** The health of a service with several workers, from theirs. Pure. */
import type { Health } from "../../../shared/runtime/health-server.ts";

export interface AskedWorker {
  /** Its number, from 1 on. */
  worker: number;
  /** `undefined`: it is being started again. */
  pid: number | undefined;
  /** `undefined`: it did not answer in time. */
  health: Health | undefined;
}

/**
 * Ready while one worker is: the others take what it cannot. What is wrong with one of several is a warning then, with its
 * number and process.
 */
export function healthOfWorkers(asked: readonly AskedWorker[]): Health {
  const known = asked.map((worker) => ({ ...worker, ...judge(worker) }));
  const ready = known.some((worker) => worker.ready);
  const unready = known.filter((worker) => !worker.ready);
  const warnings = known.flatMap(({ warnings }) => warnings);
  if (ready)
    warnings.push(
      ...unready.map(({ worker, pid, reasons }) =>
        pid === undefined
          ? `worker ${worker} of ${asked.length} ${reasons[0]}`
          : `worker ${worker} of ${asked.length} (pid ${pid}) is not ready: ${reasons.join("; ")}`,
      ),
    );
  const workers = known.flatMap(({ pid, ready, reasons, warnings }) =>
    pid === undefined ? [] : [{ pid, ready, reasons, warnings }],
  );
  return {
    ready,
    reasons: ready ? [] : [...new Set(unready.flatMap(({ reasons }) => reasons))],
    ...(warnings.length > 0 && { warnings: [...new Set(warnings)] }),
    workers,
  };
}

function judge({ pid, health }: AskedWorker): Required<Omit<Health, "workers">> {
  if (pid === undefined) return { ready: false, reasons: ["is being started"], warnings: [] };
  if (health === undefined)
    return { ready: false, reasons: ["the health check does not answer"], warnings: [] };
  return { ready: health.ready, reasons: health.reasons, warnings: health.warnings ?? [] };
}
