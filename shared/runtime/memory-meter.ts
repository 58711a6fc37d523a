/** How much of the memory that this process may have is in use. Owns nothing. */
import { totalmem } from "node:os";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface MemoryMeter {
  /**
   * 0..1. Of what the control group or the machine has, or of the heap's own limit, whichever is closer. It counts what
   * objects and buffers take, not the resident set, which stays large after they are gone.
   */
  share(): number;
  /** Frees what is not referred to any more. It stops the process for a moment: only while memory is short. */
  collectGarbage(): void;
}

/** @param processes  how many of the same kind share the memory, this one included */
export function createMemoryMeter(processes = 1): MemoryMeter {
  // Without a limit it is 0 or beyond all memory.
  const constrained = process.constrainedMemory();
  const allowed = (constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()) / processes;
  let collect: (() => void) | undefined;
  return {
    share() {
      const { used_heap_size, heap_size_limit } = getHeapStatistics();
      const { external } = process.memoryUsage();
      return Math.max(used_heap_size / heap_size_limit, (used_heap_size + external) / allowed);
    },
    collectGarbage() {
      if (collect === undefined) {
        setFlagsFromString("--expose-gc");
        collect = runInNewContext("gc") as () => void;
      }
      collect();
    },
  };
}
