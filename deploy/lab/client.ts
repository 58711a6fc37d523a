/**
 * A PC of the branch office, and the router that leads its SMTP sessions to the gateway: each connection begins with a PROXY
 * header that says which server the PC has meant. The kernel does that where `postern intercept` is in use.
 */
import { SmtpClient } from "../../test/support/smtp-client.ts";
import type { World } from "./world.ts";

/** The gateway looks for the server before it greets. */
const replyMs = 60_000;

export interface Message {
  from: string;
  to: string;
  subject: string;
}

export interface Said {
  /** Of the server that answers; empty when the connection was closed without a word. */
  greeting: string;
  /** To the last command, up to the final dot. */
  reply: string;
}

/** Sends a message by the server that the PC has chosen. @throws Error when the gateway cannot be reached or ends a session */
export async function sendBy(server: string, message: Message, world: Pick<World, "gateway">): Promise<Said> {
  const client = await SmtpClient.connect(world.gateway.port, world.gateway.address);
  try {
    const { localAddress, localPort } = client.socket;
    client.write(`PROXY TCP4 ${localAddress} ${server} ${localPort} 25\r\n`);
    const greeting = await client.reply(replyMs).catch((error: Error) => {
      if (error.message.startsWith("the connection closed")) return "";
      throw error;
    });
    if (greeting === "") return { greeting, reply: "" };
    const command = (line: string): Promise<string> => {
      client.write(`${line}\r\n`);
      return client.reply(replyMs);
    };
    await command("EHLO pc.office.example");
    let reply = "";
    for (const line of [`MAIL FROM:<${message.from}>`, `RCPT TO:<${message.to}>`, "DATA"]) {
      reply = await command(line);
      if (!/^[23]/.test(reply)) return { greeting, reply };
    }
    const head = `From: ${message.from}\r\nTo: ${message.to}\r\nSubject: ${message.subject}\r\n`;
    reply = await command(`${head}\r\nHello.\r\n.`);
    await command("QUIT");
    return { greeting, reply };
  } finally {
    client.close();
  }
}
