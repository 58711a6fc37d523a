/**
 * The state of the spool, sampled in the background: measuring many files takes longer than a health check may.
 * Owns a timer; close() ends it.
 */
import { access, constants } from "node:fs/promises";
import type { Spool, SpoolStatus } from "../../shared/spool/spool.ts";

export interface SpoolWatch {
  /** The last sample. @throws Error with the reason why the spool cannot be used */
  status(): Promise<SpoolStatus>;
  close(): void;
}

/** The pause after a sample is at least so many times as long as the sample took. */
const pauseFactor = 20;
/** A sample that takes longer counts as hanging. */
const hangsMs = 60_000;

/** @param directory  the directory of the spool, which must be writable */
export function watchSpool(
  spool: Pick<Spool, "status">,
  directory: string,
  { nowMs = () => performance.now(), everyMs = 3_000 }: { nowMs?: () => number; everyMs?: number } = {},
): SpoolWatch {
  let last: { status: SpoolStatus } | { error: unknown } | undefined;
  /** Of the sample in progress. */
  let startedAt: number | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const sample = async (): Promise<void> => {
    const begin = nowMs();
    startedAt = begin;
    try {
      const [status] = await Promise.all([spool.status(), access(directory, constants.W_OK)]);
      last = { status };
    } catch (error) {
      last = { error };
    }
    startedAt = undefined;
    if (closed) return;
    timer = setTimeout(sample, Math.max(everyMs, (nowMs() - begin) * pauseFactor));
    timer.unref();
  };
  const first = sample();

  return {
    async status() {
      if (last === undefined) await first;
      const silentMs = startedAt === undefined ? 0 : nowMs() - startedAt;
      if (last === undefined || silentMs > hangsMs) {
        throw new Error(`it has not answered for ${Math.round(silentMs / 1000)} s`);
      }
      if ("error" in last) throw last.error;
      return last.status;
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
