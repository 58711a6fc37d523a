/** SMTP AUTH of an ingress, as `auth` configures it. Owns what the checks need; close() ends it. */
import type { Config } from "../../../shared/config/schema.ts";
import { createLocalLoginFailures, type LoginFailures } from "../../../shared/limits/login-failures.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import { createSmtpClient, type SmtpClientOptions } from "../../../shared/smtp-client/create-smtp-client.ts";
import { UserFile } from "../../../shared/users/user-file.ts";
import { type Authenticator, type CredentialCheck, createAuthenticator } from "./authenticator.ts";
import { checkServers, serverChecks } from "./check-servers.ts";
import { checkUsers, userChecks } from "./check-users.ts";
import { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";

export interface Authentication {
  authenticator: Authenticator;
  /** Reads the user file, whether it looks changed or not. Never rejects. */
  rereadFiles(): Promise<void>;
  /** To be called when the sessions have ended. */
  close(): Promise<void>;
}

export interface AuthenticationOptions {
  config: Config;
  log: Logger;
  /** Absent: this process counts failures for itself. */
  failures?: LoginFailures;
  /** Of the client that logs in to protected servers. */
  smtpClient?: SmtpClientOptions;
}

/** What is checked against, and what it takes. */
interface Source {
  check: CredentialCheck;
  queue: WorkQueueOptions;
  rereadFiles(): Promise<void>;
  close(): Promise<void>;
}

/** @returns `undefined` without `auth` in the configuration */
export function createAuthentication(options: AuthenticationOptions): Authentication | undefined {
  const { config, log, failures = createLocalLoginFailures() } = options;
  if (config.auth === undefined) return undefined;
  const { users, failures: limits } = config.auth;
  const source = users === undefined ? ofServers(options) : ofUserFile(users.file, log);
  const { check, rereadFiles, close } = source;
  const queue = new WorkQueue(source.queue);
  return { authenticator: createAuthenticator({ check, failures, limits, queue, log }), rereadFiles, close };
}

function ofUserFile(path: string, log: Logger): Source {
  const file = new UserFile(path, (faults) => {
    for (const fault of faults) log.error(`the user file cannot be used, the users before hold: ${fault}`);
  });
  return {
    check: checkUsers(file),
    queue: userChecks,
    rereadFiles: () => file.reread(),
    close: async () => {},
  };
}

function ofServers({ config, smtpClient = {} }: AuthenticationOptions): Source {
  const client = createSmtpClient(config, smtpClient);
  return {
    check: checkServers(config, client),
    queue: serverChecks,
    rereadFiles: async () => {},
    close: () => client.close(0),
  };
}
