/** Imports the messages of a mailbox, several at a time, each once. */
import type { ChangeOptions, ChangeReport } from "../../../shared/queue/operator/inspector.ts";
import { type ImportedMail, ImportRefused, importMessage, refuseTooMuch } from "./import-message.ts";
import type { TaskDeps } from "./task-deps.ts";

/** A message of the mailbox, or why it cannot be imported. */
export type MailboxEntry = { mail: ImportedMail } | { reason: string };

/** So many share one write of the disk. */
const atOnce = 16;

/**
 * Ids in `skipped` are places in the mailbox: `message 3`.
 * @throws Error of the spool or of Redis; repeated, it goes on with what is missing
 */
export async function importMailbox(
  deps: TaskDeps,
  entries: readonly MailboxEntry[],
  actor: { by: string; client: string },
  { dryRun = false, progress, signal }: ChangeOptions,
): Promise<ChangeReport> {
  const report: ChangeReport = { matched: 0, changed: 0, skipped: [], unknown: [] };
  const importOne = async (entry: MailboxEntry, index: number): Promise<void> => {
    const skip = (reason: string) => report.skipped.push({ id: `message ${index + 1}`, reason });
    report.matched++;
    if ("reason" in entry) skip(entry.reason);
    else {
      try {
        if (dryRun) refuseTooMuch(deps, entry.mail.octets, entry.mail.to);
        else if ((await importMessage(deps, entry.mail, actor)).status === "known") {
          skip("was imported before");
          return;
        }
        report.changed++;
      } catch (error) {
        if (!(error instanceof ImportRefused)) throw error;
        skip(error.message);
      }
    }
  };
  for (let start = 0; start < entries.length; start += atOnce) {
    signal?.throwIfAborted();
    const some = entries.slice(start, start + atOnce);
    await Promise.all(some.map((entry, offset) => importOne(entry, start + offset)));
    progress?.(report);
  }
  return report;
}
