/** What happens to Redis: it is killed, stopped, emptied, full, or back from an old copy of its files. */
import type { FaultKindOf } from "./fault.ts";
import { lasting } from "./pause.ts";
import { lockMs } from "./processes.ts";

export const killRedis: FaultKindOf = {
  name: "kill-redis",
  weight: 5,
  needsMs: 5_000,
  async happen({ redis, recorder }) {
    if (redis.program.signal("SIGKILL")) recorder.record({ kind: "fault", fault: "kill", target: "redis" });
  },
};

export const stopRedis: FaultKindOf = {
  name: "stop-redis",
  weight: 1,
  needsMs: lockMs + 15_000,
  async happen({ redis, recorder, ending }, random) {
    const { pid } = redis.program;
    if (redis.program.isFrozen || !redis.program.signal("SIGSTOP")) return;
    recorder.record({ kind: "fault", fault: "stop", target: "redis" });
    await lasting(random.between(1_000, lockMs + 10_000), ending);
    if (redis.program.pid === pid) redis.program.signal("SIGCONT");
    recorder.record({ kind: "fault", fault: "stop", target: "redis", ended: true });
  },
};

export const flushRedis: FaultKindOf = {
  name: "flush",
  weight: 3,
  needsMs: 5_000,
  async happen({ redis, recorder }) {
    // Before, too: what follows from it may be seen before the answer.
    recorder.record({ kind: "fault", fault: "flush", target: "redis" });
    await redis.command("FLUSHALL").catch(() => {});
  },
};

export const restoreOldDump: FaultKindOf = {
  name: "old-dump",
  weight: 2,
  needsMs: 8_000,
  async happen({ redis, recorder, ending }, random) {
    redis.keepDump();
    await lasting(random.between(2_000, 20_000), ending);
    if (!redis.hasDump() || ending.aborted) return;
    recorder.record({ kind: "fault", fault: "old-dump", target: "redis" });
    redis.restoreDump();
  },
};

export const fillRedis: FaultKindOf = {
  name: "memory",
  weight: 2,
  needsMs: 8_000,
  async happen({ redis, recorder, ending }, random) {
    const what = { kind: "fault", fault: "memory", target: "redis" } as const;
    recorder.record(what);
    await redis.command("CONFIG SET maxmemory 1mb").catch(() => {});
    await lasting(random.between(3_000, 15_000), ending);
    await redis.command("CONFIG SET maxmemory 0").catch(() => {});
    recorder.record({ ...what, ended: true });
  },
};
