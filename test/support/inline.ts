/** Sessions that deliver inline to scripted servers, and clients that send one message. The end of the test closes them. */
import type { TestContext } from "node:test";
import { type QueuedSessions, startQueuedSessions } from "./queued-sessions.ts";
import type { SmtpClient } from "./smtp-client.ts";
import { type SmtpPeer, type SmtpPeerOptions, startSmtpPeer } from "./smtp-peer.ts";

type SessionsGiven = NonNullable<Parameters<typeof startQueuedSessions>[0]>;

export interface InlineFlow {
  /** The scripted server of example.com. */
  peer: SmtpPeer;
  sessions: QueuedSessions;
}

export async function startInlineFlow(
  t: TestContext,
  options: SmtpPeerOptions = {},
  given: SessionsGiven & {
    /** Further keys of the protected entry. */
    entry?: object | ((peer: SmtpPeer) => object);
  } = {},
): Promise<InlineFlow> {
  const peer = await startSmtpPeer(options);
  const entry = typeof given.entry === "function" ? given.entry(peer) : given.entry;
  const sessions = await startQueuedSessions({
    inline: {},
    ...given,
    config: {
      protected: [{ domains: ["example.com"], servers: [`${peer.address}:${peer.port}`], ...entry }],
      ...given.config,
      timeouts: { inline: "60s", quit: "200ms", ...given.config?.timeouts },
    },
  });
  t.after(async () => {
    await sessions.close();
    await peer.stop();
  });
  return { peer, sessions };
}

export const message = "Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\n.hidden dot\r\nHello.\r\n";

/** The reply to each step of a transaction. */
export interface Sent {
  mail: string;
  rcpt: string[];
  data: string;
  /** Absent when DATA was refused. */
  dot?: string;
}

/** Sends one message after EHLO. @param to  the text after `RCPT TO:` */
export async function send(
  client: SmtpClient,
  to: string[],
  text = message,
  mail = "<me@example.org>",
): Promise<Sent> {
  const sent: Sent = { mail: await client.command(`MAIL FROM:${mail}`), rcpt: [], data: "" };
  for (const path of to) sent.rcpt.push(await client.command(`RCPT TO:${path}`));
  sent.data = await client.command("DATA");
  if (!sent.data.startsWith("354")) return sent;
  client.write(`${text.replace(/^\./gm, "..")}.\r\n`);
  sent.dot = await client.reply();
  return sent;
}

export async function greeted(sessions: QueuedSessions, from?: string): Promise<SmtpClient> {
  const client = await sessions.connect(from);
  await client.command("EHLO client.example");
  return client;
}

/** Recipients that the spool's records are still to be delivered to. */
export function queuedRecipients({ accepted }: QueuedSessions): string[] {
  return accepted.flatMap(({ meta }) =>
    meta.parts.flat().map((index) => meta.envelope.recipients[index]?.address ?? "?"),
  );
}

export function deliveredRecipients({ received }: SmtpPeer): string[] {
  return received.flatMap(({ to }) => to.map(({ address }) => address));
}
