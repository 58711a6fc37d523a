/**
 * What root opens before it becomes another user: `--user`. The process that returns from becomeUser() has no capability,
 * or CAP_NET_ADMIN alone where connections are to be made from clients' addresses. Owns nothing.
 */
import { execFileSync } from "node:child_process";
import { chownSync, mkdirSync } from "node:fs";
import type { Config } from "../config/schema.ts";
import { keepCapabilities, keepNetAdminAlone } from "./capabilities.ts";
import { boundSocket, transparentListener } from "./socket.ts";
import { CannotStart, cannotListen } from "./start-failure.ts";

/** Whether a server is to see the client's own address, which only CAP_NET_ADMIN makes possible. */
export function usesClientAddresses({ protected: domains, outgoing }: Config): boolean {
  return outgoing.hide === true || domains.some(({ hide }) => hide === true);
}

/**
 * Opens the sockets of all listeners with a fixed port, while that is still allowed.
 * @returns their descriptors
 * @throws CannotStart
 */
export function openListeners({ listeners }: Config): number[] {
  return listeners
    .filter(({ port }) => port !== 0)
    .map(({ name, address, port, destination }) => {
      try {
        return destination === "tproxy" ? transparentListener(address, port) : boundSocket(address, port);
      } catch (error) {
        throw cannotListen(`listener ${name}`, { address, port }, error as NodeJS.ErrnoException);
      }
    });
}

/**
 * Becomes a user, for good. Makes the data directory for it, if that is not there.
 * @param keepNetAdmin  keep CAP_NET_ADMIN in the thread that runs JavaScript
 * @throws CannotStart when this is not root, or there is no such user
 */
export function becomeUser(user: string, data: string, keepNetAdmin: boolean): void {
  const { setuid, setgid, initgroups, getuid } = process as typeof process & Initgroups;
  if (getuid?.() !== 0 || setuid === undefined || setgid === undefined)
    throw new CannotStart("--user is for root, which becomes that user");
  const [uid, gid] = [idOf("-u", user), idOf("-g", user)];
  if (uid === 0) throw new CannotStart(`--user ${user} is root`);
  if (mkdirSync(data, { recursive: true, mode: 0o700 }) !== undefined) chownSync(data, uid, gid);
  if (keepNetAdmin) keepCapabilities();
  initgroups(user, gid);
  setgid(gid);
  setuid(uid);
  if (keepNetAdmin) keepNetAdminAlone();
}

/** Node has it where it has setuid; its types lack it. */
interface Initgroups {
  initgroups(user: string, group: number): void;
}

/** By the program `id`, which knows users of every kind. */
function idOf(option: "-u" | "-g", user: string): number {
  try {
    return Number(
      execFileSync("id", [option, "--", user], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    );
  } catch {
    throw new CannotStart(`--user ${user}: there is no such user`);
  }
}
