/** Reads what does not match its checksums once more before it counts as damaged. */
import { SpoolCorrupt } from "./spool.ts";

/**
 * On storage that several hosts share a read may give octets from before they were written.
 * @param forget  forgets what may be the reason
 */
export async function orOnceMore<T>(read: () => Promise<T>, forget = (): void => {}): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof SpoolCorrupt)) throw error;
    forget();
    return read();
  }
}
