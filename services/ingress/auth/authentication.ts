/** SMTP AUTH of an ingress, as `auth` configures it. Owns what the checks need; close() ends it. */
import type { Config } from "../../../shared/config/schema.ts";
import { createLocalLoginFailures, type LoginFailures } from "../../../shared/limits/login-failures.ts";
import type { Commit } from "../../../shared/runtime/live.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import {
  type ConfiguredSmtpClient,
  createSmtpClient,
  type SmtpClientOptions,
} from "../../../shared/smtp-client/create-smtp-client.ts";
import { UserFile } from "../../../shared/users/user-file.ts";
import { type Authenticator, type CredentialCheck, createAuthenticator } from "./authenticator.ts";
import { checkServers, serverChecks } from "./check-servers.ts";
import { checkUsers, userChecks } from "./check-users.ts";
import { WorkQueue } from "./work-queue.ts";

export interface Authentication {
  authenticator: Authenticator;
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

/** @returns `undefined` without `auth` in the configuration */
export function createAuthentication(options: AuthenticationOptions): Authentication | undefined {
  const logins = new Logins(options);
  const { authenticator } = logins.prepare(options.config, options.failures);
  return authenticator && { authenticator, close: () => logins.close() };
}

/** How clients log in under one configuration after the other. What runs for a login outlives the configuration. */
export class Logins {
  readonly #log: Logger;
  readonly #smtpClient: SmtpClientOptions;
  readonly #ownFailures = createLocalLoginFailures();
  readonly #queues = { users: new WorkQueue(userChecks), servers: new WorkQueue(serverChecks) };
  #userFile: UserFile | undefined;
  #client: ConfiguredSmtpClient | undefined;

  constructor({ log, smtpClient = {} }: Pick<AuthenticationOptions, "log" | "smtpClient">) {
    this.#log = log;
    this.#smtpClient = smtpClient;
  }

  /**
   * @param failures  absent: this process counts failures for itself
   * @returns no authenticator without `auth` in the configuration
   */
  prepare(
    config: Config,
    failures: LoginFailures = this.#ownFailures,
  ): { authenticator: Authenticator | undefined; commit: Commit } {
    const { auth } = config;
    if (auth === undefined) return { authenticator: undefined, commit() {} };
    const log = this.#log;
    const { check, queue, commit } =
      auth.users === undefined ? this.#checkByServers(config) : this.#checkByFile(auth.users.file);
    const authenticator = createAuthenticator({ check, failures, limits: auth.failures, queue, log });
    return { authenticator, commit };
  }

  /** Reads the user file, whether it looks changed or not, and reports its errors. Never rejects. */
  async readUsers(): Promise<void> {
    await this.#userFile?.reread();
  }

  async close(): Promise<void> {
    await this.#client?.close(0);
  }

  #checkByFile(path: string): { check: CredentialCheck; queue: WorkQueue; commit: Commit } {
    const file =
      this.#userFile?.path === path
        ? this.#userFile
        : new UserFile(path, (faults) => {
            for (const fault of faults)
              this.#log.error(`the user file cannot be used, the users before hold: ${fault}`);
          });
    const commit = () => {
      this.#userFile = file;
    };
    return { check: checkUsers(file), queue: this.#queues.users, commit };
  }

  #checkByServers(config: Config): { check: CredentialCheck; queue: WorkQueue; commit: Commit } {
    this.#client ??= createSmtpClient(config, this.#smtpClient);
    const client = this.#client;
    return {
      check: checkServers(config, client),
      queue: this.#queues.servers,
      commit: client.prepare(config),
    };
  }
}
