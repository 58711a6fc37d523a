/**
 * Notices files that have changed, by looking at them: that works on every file system, and for files that are replaced
 * by a rename or by a link that moves. Owns a timer.
 */
import { stat } from "node:fs/promises";

const usualEveryMs = 2_000;
/** The times of files are those of a clock that ticks every few milliseconds. */
const clockLagMs = 50;

export interface FileWatch {
  close(): void;
}

/**
 * @param files    asked at each look
 * @param changed  called when files have changed, and stayed the same for one more look: a file that is just being
 *                 written is left alone. The next look waits for it. Never rejects.
 */
export function watchFiles(options: {
  files(): readonly string[];
  changed(files: string[]): Promise<unknown>;
  /**
   * When they were last read, in epoch milliseconds: one that is new in the list, and younger than that, has changed.
   * Absent: one that is new in the list is as it was read.
   */
  readAtMs?(): number;
  everyMs?: number;
}): FileWatch {
  const { everyMs = usualEveryMs, readAtMs = () => Number.POSITIVE_INFINITY } = options;
  /** As the service has them. */
  let known = new Map<string, string>();
  /** At the last look. */
  let last = new Map<string, string>();
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  const look = async (): Promise<void> => {
    const readMs = readAtMs();
    const now = await versionsOf(options.files());
    const asRead = (version: string): string =>
      changedAtMs(version) > readMs - clockLagMs ? "younger" : version;
    known = new Map([...now].map(([file, version]) => [file, known.get(file) ?? asRead(version)]));
    const differing = [...now].filter(([file, version]) => known.get(file) !== version);
    const isSettled = differing.every(([file, version]) => last.get(file) === version);
    last = now;
    if (differing.length > 0 && isSettled && !isClosed) {
      known = now;
      await options.changed(differing.map(([file]) => file));
    }
    if (!isClosed) timer = setTimeout(() => void look(), everyMs).unref();
  };
  void look();

  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

async function versionsOf(files: readonly string[]): Promise<Map<string, string>> {
  return new Map(
    await Promise.all(files.map(async (file): Promise<[string, string]> => [file, await versionOf(file)])),
  );
}

/** NaN for a file that is not there. @param version  of versionOf() */
function changedAtMs(version: string): number {
  return Number(version.split(" ").at(-1)) / 1e6;
}

async function versionOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return `${(error as NodeJS.ErrnoException).code}`;
  }
}
