/** Sends a message to the gateway, as a mail program would. */
import SMTPConnection from "nodemailer/lib/smtp-connection";
import type { DemoMessage } from "./scene.ts";

/**
 * @param date  for the header
 * @returns the gateway's reply to the message, without the line end
 * @throws Error when the gateway does not take it
 */
export function sendMessage(port: number, message: DemoMessage, date: Date): Promise<string> {
  const connection = new SMTPConnection({ host: "127.0.0.1", port, name: "office.example", ignoreTLS: true });
  return new Promise<string>((resolve, reject) => {
    connection.once("error", reject);
    connection.connect((failed?: Error | null) => {
      if (failed) return reject(failed);
      const envelope = { from: message.from, to: message.to };
      connection.send(envelope, rawMessage(message, date), (error: Error | null, info) => {
        if (error) return reject(error);
        resolve(info.response);
      });
    });
  }).finally(() => connection.close());
}

function rawMessage({ from, to, subject, text }: DemoMessage, date: Date): string {
  const id = `<${date.getTime().toString(36)}.${Math.random().toString(36).slice(2, 10)}@office.example>`;
  const header = [
    `From: ${from}`,
    `To: ${to.join(", ")}`,
    `Subject: ${subject}`,
    `Date: ${date.toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${id}`,
  ];
  return [...header, "", text, ""].join("\r\n");
}
