/**
 * What keeps services away from a spool that hosts share without a file system, while mail is copied out of it or into it.
 * The spool has it, so that every host sees it.
 */

/** Why a spool is closed. */
export interface Closed {
  /** Of the hand-over. */
  id: string;
  /** Whether its mail goes away, or the mail of another spool comes. */
  role: "from" | "to";
  /** The other spool, for people. */
  other: string;
}

/** Every call may fail as the storage does, and may be repeated. */
export interface Closure {
  read(): Promise<Closed | undefined>;
  close(closed: Closed): Promise<void>;
  /** Records that the mail is the other spool's from now on. */
  commit(id: string): Promise<void>;
  isCommitted(id: string): Promise<boolean>;
  /** Lets the services in again. */
  open(id: string): Promise<void>;
}

/** Why a service may not use the spool, in one sentence. */
export function whyClosed({ role, other }: Closed): string {
  const again = "finish that with the same 'postern spool copy', or end it with --cancel";
  return role === "from"
    ? `its mail is being handed to the spool ${other}: ${again}`
    : `the mail of the spool ${other} is being copied into it: ${again}`;
}
