/** SMTP AUTH of an ingress, as `auth` configures it. Owns the user file's state. */
import type { Config } from "../../../shared/config/schema.ts";
import { createLocalLoginFailures, type LoginFailures } from "../../../shared/limits/login-failures.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import { UserFile } from "../../../shared/users/user-file.ts";
import { type Authenticator, createAuthenticator } from "./authenticator.ts";
import { checkUsers, userChecks } from "./check-users.ts";
import { WorkQueue } from "./work-queue.ts";

export interface Authentication {
  authenticator: Authenticator;
  /** Reads the user file, whether it looks changed or not. Never rejects. */
  rereadFiles(): Promise<void>;
}

export interface AuthenticationOptions {
  config: Config;
  log: Logger;
  /** Absent: this process counts failures for itself. */
  failures?: LoginFailures;
}

/** @returns `undefined` without `auth` in the configuration */
export function createAuthentication({
  config,
  log,
  failures = createLocalLoginFailures(),
}: AuthenticationOptions): Authentication | undefined {
  const { auth } = config;
  if (auth?.users === undefined) return undefined;
  const file = new UserFile(auth.users.file, (faults) => {
    for (const fault of faults) log.error(`the user file cannot be used, the users before hold: ${fault}`);
  });
  return {
    authenticator: createAuthenticator({
      check: checkUsers(file),
      failures,
      limits: auth.failures,
      queue: new WorkQueue(userChecks),
      log,
    }),
    rereadFiles: () => file.reread(),
  };
}
