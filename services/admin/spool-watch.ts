/**
 * The state of the spool, asked in the background: measuring many files takes time that a health check does not have.
 * Owns a timer; close() ends it.
 */
import { access, constants } from "node:fs/promises";
import type { Spool, SpoolStatus } from "../../shared/spool/spool.ts";

export interface SpoolWatch {
  /** As of the last look. @throws Error with the reason why the spool cannot be used */
  status(): Promise<SpoolStatus>;
  close(): void;
}

/** Looking may take up one part in so many of the time. */
const restFactor = 20;
/** A look that takes longer than this hangs. */
const hangsMs = 60_000;

/** @param directory  where files are written; it must be writable */
export function watchSpool(
  spool: Pick<Spool, "status">,
  directory: string,
  { nowMs = () => performance.now(), everyMs = 3_000 }: { nowMs?: () => number; everyMs?: number } = {},
): SpoolWatch {
  let last: { status: SpoolStatus } | { error: unknown } | undefined;
  /** Of the look that is under way. */
  let startedAt: number | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const look = async (): Promise<void> => {
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
    timer = setTimeout(look, Math.max(everyMs, (nowMs() - begin) * restFactor));
    timer.unref();
  };
  const first = look();

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
