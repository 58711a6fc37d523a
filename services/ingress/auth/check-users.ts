/** Checks credentials against the user file of the gateway. */
import { decoyHash, matchesPassword } from "../../../shared/users/password-hash.ts";
import type { Users } from "../../../shared/users/user-list.ts";
import type { CredentialCheck } from "./authenticator.ts";

/**
 * scrypt runs in the thread pool that the spool writes with, four threads in all: half of them stay free. Each check
 * takes some 100 ms, so that who waits last waits for a second and a half.
 */
export const userChecks = { atOnce: 2, waiting: 32 };

/** A name that nobody has costs the work of one that exists. */
export function checkUsers(file: { current(): Promise<Users> }): CredentialCheck {
  return async ({ user, password }) => {
    const users = await file.current();
    const known = users.get(user);
    const [anyHash] = users.values();
    const matches = await matchesPassword(password, known ?? decoyHash(anyHash));
    const isKnownUser = known !== undefined;
    return isKnownUser && matches ? { kind: "right" } : { kind: "wrong", isKnownUser };
  };
}
