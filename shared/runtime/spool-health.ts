/** Whether the spool takes mail. The spool is the caller's. */
import { type Spool, SpoolFull } from "../spool/spool.ts";
import { withTimeout } from "./with-timeout.ts";

/** Storage that does not answer in time hangs: no client waits for long. */
const answerMs = 800;

/** @returns one line for an operator; `undefined` when a message could be stored now */
export async function whySpoolFails(spool: Pick<Spool, "checkWritable">): Promise<string | undefined> {
  try {
    await withTimeout(spool.checkWritable(), answerMs);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return error instanceof SpoolFull
      ? `the disk of the spool is full, and no mail is accepted: ${message}`
      : `the spool cannot be used, and no mail is accepted: ${message}`;
  }
}
