/** kill -9, and SIGSTOP for longer than a job's lock lasts, of every process of the gateway. */
import { serviceNames } from "../gateway/processes.ts";
import type { FaultKindOf } from "./fault.ts";
import { lasting } from "./pause.ts";

/** BullMQ's lock of a job: shared/queue/bullmq/bullmq-worker.ts. */
export const lockMs = 20_000;

export const killProcess: FaultKindOf = {
  name: "kill",
  // An hour with a fault every two seconds kills each process more than a hundred times.
  weight: 30,
  needsMs: 3_000,
  async happen({ gateway, recorder }, random) {
    const program = gateway.named(random.pick(serviceNames));
    if (program.signal("SIGKILL")) recorder.record({ kind: "fault", fault: "kill", target: program.name });
  },
};

export const stopProcess: FaultKindOf = {
  name: "stop",
  weight: 3,
  needsMs: lockMs + 15_000,
  async happen({ gateway, recorder, ending }, random) {
    const program = gateway.named(random.pick(serviceNames));
    if (program.isFrozen || !program.signal("SIGSTOP")) return;
    const { pid } = program;
    const what = { kind: "fault", fault: "stop", target: program.name } as const;
    recorder.record(what);
    await lasting(
      random.chance(0.3) ? random.between(500, 5_000) : random.between(lockMs + 1_000, lockMs + 12_000),
      ending,
    );
    if (program.pid === pid) program.signal("SIGCONT");
    recorder.record({ ...what, ended: true });
  },
};
