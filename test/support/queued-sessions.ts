/** Queued sessions on a port of their own, over a spool in memory that fails on demand. The test closes them. */
import net from "node:net";
import type { z } from "zod";
import type { InlineDeps } from "../../services/ingress/inline/inline.ts";
import type { SessionsOptions } from "../../services/ingress/session/session-profile.ts";
import { createSessions, type Sessions } from "../../services/ingress/session/sessions.ts";
import type { configSchema } from "../../shared/config/schema.ts";
import type { ClientConnection } from "../../shared/mail/client-connection.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { Publisher } from "../../shared/queue/contract/queue.ts";
import { compileRouting } from "../../shared/routing/classify.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createSmtpClient, type SmtpClientOptions } from "../../shared/smtp-client/create-smtp-client.ts";
import type { Draft, Settlement, Spool, StoredMessage } from "../../shared/spool/spool.ts";
import { testConfig } from "./config.ts";
import { SmtpClient } from "./smtp-client.ts";

export interface AcceptedMessage {
  meta: MessageMeta;
  body: string;
  /** The settlements that are part of the record. */
  settles?: Settlement;
}

/** The faults of the storage, which a test may change at any time. */
export interface StorageFaults {
  /** Thrown by draft(). */
  onDraft?: Error;
  /** The result of write(), which accepts the chunk first. */
  onWrite?: (chunk: Buffer) => Promise<void> | undefined;
  /** Awaited by commit() before the message is stored; a rejection refuses the message. */
  onCommit?: () => Promise<void>;
}

export interface QueuedSessions {
  port: number;
  sessions: Sessions;
  faults: StorageFaults;
  /** The committed messages, in order. */
  accepted: AcceptedMessage[];
  published: { message: StoredMessage; routes: string[] }[];
  settled: Settlement[];
  /** The requested success reports. */
  successReports: StoredMessage[];
  /** Drafts that have neither been committed nor discarded. */
  readonly openDrafts: number;
  /** Sockets whose "close" reached the code that accepted them. */
  readonly closedSockets: number;
  /** The log so far. */
  log: Record<string, unknown>[];
  /** Connects and reads the greeting. @param from  the client's address; absent: 127.0.0.1 */
  connect(from?: string): Promise<SmtpClient>;
  close(): Promise<void>;
}

interface Given {
  config?: Partial<z.input<typeof configSchema>>;
  /** The client's address as the session gets it. */
  client?: string;
  now?: () => number;
  authenticator?: SessionsOptions["authenticator"];
  pause?: SessionsOptions["pause"];
  storageDeadlineMs?: number;
  /** The facts of the connection; absent: the client connected to the gateway itself. */
  connection?: Partial<Pick<ClientConnection, "direction" | "destination">>;
  /** For inline delivery where the configuration asks for it; absent: all mail is queued. */
  inline?: SmtpClientOptions & { isHeld?: InlineDeps["isHeld"] };
}

export async function startQueuedSessions(given: Given = {}): Promise<QueuedSessions> {
  const config = testConfig(given.config);
  const [listener] = config.listeners;
  if (listener === undefined) throw new Error("the configuration has no listener");
  const log: Record<string, unknown>[] = [];
  const faults: StorageFaults = {};
  const accepted: AcceptedMessage[] = [];
  const published: QueuedSessions["published"] = [];
  const settled: Settlement[] = [];
  const drafts = new Set<Draft>();

  const spool = {
    draft(): Draft {
      if (faults.onDraft !== undefined) throw faults.onDraft;
      const chunks: Buffer[] = [];
      let size = 0;
      const draft: Draft = {
        get size() {
          return size;
        },
        write(chunk) {
          chunks.push(Buffer.from(chunk));
          size += chunk.length;
          return faults.onWrite?.(chunk);
        },
        async commit(meta, settles) {
          drafts.delete(draft);
          await faults.onCommit?.();
          const body = Buffer.concat(chunks).toString("latin1");
          accepted.push({ meta, body, ...(settles === undefined ? {} : { settles }) });
          return { meta, locator: { segment: "memory", offset: 0, length: size, checksum: 0 } };
        },
        async discard() {
          drafts.delete(draft);
        },
      };
      drafts.add(draft);
      return draft;
    },
    async settle(settlements) {
      settled.push(...settlements);
    },
  } satisfies Pick<Spool, "draft" | "settle"> as unknown as Spool;
  const publisher: Publisher = {
    publish: (message, routes) => published.push({ message, routes: routes.map(({ label }) => label) }),
    backlog: 0,
    close: async () => {},
  };
  const successReports: StoredMessage[] = [];
  const transport = given.inline === undefined ? undefined : createSmtpClient(config, given.inline);
  const inline: InlineDeps | undefined = transport && {
    transport,
    isHeld: given.inline?.isHeld ?? (() => false),
    successReports: { publish: (message) => successReports.push(message) },
  };
  const sessions = createSessions({
    config,
    spool,
    publisher,
    log: createLogger("test", { write: (line) => log.push(JSON.parse(line)) }),
    routing: compileRouting(config),
    ...(inline === undefined ? {} : { inline }),
    ...(given.now === undefined ? {} : { now: given.now }),
    ...(given.authenticator === undefined ? {} : { authenticator: given.authenticator }),
    ...(given.pause === undefined ? {} : { pause: given.pause }),
    ...(given.storageDeadlineMs === undefined ? {} : { storageDeadlineMs: given.storageDeadlineMs }),
  });

  let count = 0;
  let closedSockets = 0;
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.once("close", () => closedSockets++);
    const connection = {
      id: `test-${++count}`,
      listener: listener.name,
      client: { address: given.client ?? socket.remoteAddress ?? "127.0.0.1", port: socket.remotePort ?? 0 },
      destination: { address: "127.0.0.1", port: socket.localPort ?? 0 },
      direction: "local" as const,
      ...given.connection,
    };
    sessions.startSession(socket, connection, listener);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const clients: SmtpClient[] = [];
  return {
    port,
    sessions,
    faults,
    accepted,
    published,
    settled,
    successReports,
    get openDrafts() {
      return drafts.size;
    },
    get closedSockets() {
      return closedSockets;
    },
    log,
    async connect(from) {
      const client = await SmtpClient.connect(port, "127.0.0.1", from);
      clients.push(client);
      await client.reply();
      return client;
    },
    async close() {
      for (const client of clients) client.close();
      server.close();
      await sessions.close(0);
      await transport?.close(0);
    },
  };
}

/** Sends the commands of a transaction up to DATA. */
export async function openData(client: SmtpClient, recipient = "friend@example.org"): Promise<void> {
  for (const line of [
    "EHLO client.example",
    "MAIL FROM:<me@example.org>",
    `RCPT TO:<${recipient}>`,
    "DATA",
  ]) {
    const reply = await client.command(line);
    if (!/^[23]/.test(reply)) throw new Error(`${line} was answered ${reply}`);
  }
}
