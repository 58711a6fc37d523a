/** One message over an open session, and what the client heard: the base of all that the model knows. */
import { SmtpClient } from "../../support/smtp-client.ts";
import type { Recipient } from "../history/events.ts";
import type { Recorder } from "../history/recorder.ts";
import type { ChaosMessage } from "./messages.ts";

/** A stopped process answers when it goes on; a client of RFC 5321 §4.5.3.2 would wait longer. */
const patienceMs = 90_000;

export async function openSession(port: number, header?: string): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port);
  try {
    if (header !== undefined) client.write(header);
    await expect(client.reply(patienceMs), "2");
    client.write("EHLO client.test\r\n");
    await expect(client.reply(patienceMs), "2");
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

/** @throws Error when the session cannot be used any more */
export async function sendMessage(
  client: SmtpClient,
  message: ChaosMessage,
  recorder: Recorder,
): Promise<void> {
  const { door, from } = message;
  const ask = (line: string): Promise<string> => {
    client.write(`${line}\r\n`);
    return client.reply(patienceMs);
  };
  if (!(await ask(`MAIL FROM:<${from}>`)).startsWith("2")) return void (await ask("RSET"));
  const recipients: Recipient[] = [];
  for (const recipient of message.recipients) {
    const notify = recipient.notify === undefined ? "" : ` NOTIFY=${recipient.notify}`;
    if ((await ask(`RCPT TO:<${recipient.address}>${notify}`)).startsWith("2")) recipients.push(recipient);
  }
  if (recipients.length === 0) return void (await ask("RSET"));
  const sent = { door, from, recipients };
  try {
    if (!(await ask("DATA")).startsWith("354")) return void (await ask("RSET"));
    client.write(`${message.data}.\r\n`);
    const reply = await client.reply(patienceMs);
    recorder.record({ kind: reply.startsWith("2") ? "accepted" : "refused", ...sent, reply });
  } catch (error) {
    recorder.record({ kind: "unanswered", ...sent });
    throw error;
  }
}

async function expect(reply: Promise<string>, start: string): Promise<void> {
  const said = await reply;
  if (!said.startsWith(start)) throw new Error(said);
}
