/**
 * The mail server behind the gateway in `postern demo`: takes mail for the demo's domains, defers it for full mailboxes and
 * refuses it for mailboxes that do not exist. Owns its socket; close() ends it.
 */
import type { AddressInfo } from "node:net";
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from "smtp-server";
import { answerRecipient } from "./scene.ts";

/** What the server saw, for people to read. */
export type MailServerEvent =
  | { kind: "refused"; from: string; to: string; reply: string }
  | { kind: "arrived"; from: string; to: string[]; subject: string };

export interface MailServer {
  port: number;
  close(): Promise<void>;
}

/** Only the header is read. */
const maxHeaderOctets = 64 * 1024;
/** Pairs of sender and recipient whose attempts are counted; the oldest are forgotten. */
const maxCounted = 1_000;

export async function startMailServer(report: (event: MailServerEvent) => void): Promise<MailServer> {
  const attempts = new Map<string, number>();
  const countAttempt = (key: string): number => {
    const before = attempts.get(key) ?? 0;
    attempts.delete(key);
    attempts.set(key, before + 1);
    if (attempts.size > maxCounted) attempts.delete(attempts.keys().next().value ?? "");
    return before;
  };

  const server = new SMTPServer({
    name: "mail.demo.example",
    banner: "a mail server for the demo",
    authOptional: true,
    disabledCommands: ["AUTH", "STARTTLS"],
    disableReverseLookup: true,
    onRcptTo({ address }, session, callback) {
      const from = senderOf(session);
      const { code, text } = answerRecipient(address, countAttempt(`${from} ${address}`));
      if (code === 250) return callback();
      report({ kind: "refused", from, to: address, reply: `${code} ${text}` });
      callback(Object.assign(new Error(text), { responseCode: code }));
    },
    onData(stream, session, callback) {
      readHeader(stream)
        .then((header) => {
          const to = session.envelope.rcptTo.map(({ address }) => address);
          for (const address of to) attempts.delete(`${senderOf(session)} ${address}`);
          report({ kind: "arrived", from: senderOf(session), to, subject: subjectOf(header) });
          callback();
        })
        .catch(callback);
    },
  });
  server.on("error", () => {}); // a gateway that goes away in the middle of a session
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
  return {
    port: (server.server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function senderOf(session: SMTPServerSession): string {
  const { mailFrom } = session.envelope;
  return mailFrom === false ? "" : mailFrom.address;
}

async function readHeader(stream: SMTPServerDataStream): Promise<string> {
  let header = "";
  for await (const chunk of stream) {
    if (header.length < maxHeaderOctets) header += (chunk as Buffer).toString("utf8");
  }
  return header.split("\r\n\r\n", 1)[0] ?? "";
}

function subjectOf(header: string): string {
  const line = /^subject:[ \t]*(.*(?:\r\n[ \t].*)*)/im.exec(header)?.[1] ?? "";
  return line.replace(/\r\n[ \t]+/g, " ").trim();
}
