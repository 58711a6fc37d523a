/** Why a service cannot start, in one sentence for the operator. Nothing is wrong with the program then. */
import { formatHostPort } from "../net/endpoint.ts";
import { SpoolFull, SpoolUnavailable } from "../spool/spool.ts";

/** The message is the sentence. */
export class CannotStart extends Error {}

/** The message of a service to its supervisor, in place of `up`. */
export interface CannotStartMessage {
  kind: "cannot-start";
  reason: string;
}

export function isCannotStart(message: unknown): message is CannotStartMessage {
  return (
    typeof message === "object" && message !== null && "kind" in message && message.kind === "cannot-start"
  );
}

/**
 * The sentence for an error at the start. `undefined`: a defect of the program, whose stack is worth having.
 * Errors of the file system and of sockets carry the name of their system call.
 */
export function whyCannotStart(error: unknown): string | undefined {
  if (error instanceof CannotStart || error instanceof SpoolFull || error instanceof SpoolUnavailable)
    return error.message;
  return error instanceof Error && "syscall" in error ? error.message : undefined;
}

/** @param what  a listener, `admin`, `health` @param error  of the system */
export function cannotListen(
  what: string,
  { address, port }: { address: string; port: number },
  error: { code?: string | undefined; message?: string },
): CannotStart {
  const why = listenErrors[error.code ?? ""] ?? error.message;
  return new CannotStart(`${what} cannot listen on ${formatHostPort({ host: address, port })}: ${why}`);
}

const listenErrors: Record<string, string> = {
  EADDRINUSE: "the port is taken by another program",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "the process may not open that port",
};

/**
 * Runs work on the data directory. An error of the system becomes a sentence with the directory's name.
 * @throws CannotStart
 */
export function orCannotUse<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code = "", message } = systemError(error);
    throw new CannotStart(
      `the data directory ${directory} cannot be used: ${directoryErrors[code] ?? message}`,
      { cause: error },
    );
  }
}

/** The spool wraps errors of the file system. */
function systemError(error: unknown): NodeJS.ErrnoException {
  return error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error);
}

const directoryErrors: Record<string, string> = {
  EEXIST: "it is a file",
  // Node reports it when parents are to be created on a read-only file system.
  ENOENT: "it cannot be created there",
  ENOTDIR: "a part of its path is a file",
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
};
