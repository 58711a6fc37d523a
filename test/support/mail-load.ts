/** Clients that send numbered messages until they are stopped, and note what they were answered. */
import { setTimeout as delay } from "node:timers/promises";
import { SmtpClient } from "./smtp-client.ts";
import type { SmtpPeer } from "./smtp-peer.ts";

export interface Load {
  /** Numbers of the messages that got 250. */
  accepted: Set<number>;
  /** What clients saw besides the usual replies, and 421 between two transactions. */
  surprises: string[];
  /** 421 between two transactions. */
  turnedAway: number;
  stop(): Promise<void>;
}

/**
 * Clients that send messages over sessions of several messages each, half of them with the envelope in one piece.
 * @param first    the number of the first message
 * @param mayGoOn  asked before each session: on a slow machine more may be accepted than delivered, and then what is accepted
 *   waits longer and longer behind what was accepted before
 */
export function sendMail(
  port: number,
  clients: number,
  first = 0,
  mayGoOn: (load: Load) => boolean = () => true,
): Load {
  const load: Load = { accepted: new Set(), surprises: [], turnedAway: 0, stop };
  let isOver = false;
  let count = first;

  /** One session. @returns at its end, or when it is turned away */
  async function session(pipelines: boolean): Promise<void> {
    let client: SmtpClient;
    try {
      client = await SmtpClient.connect(port);
    } catch (error) {
      load.surprises.push(`connect: ${(error as Error).message}`);
      return;
    }
    /** @returns whether the session goes on; between two transactions it may end with 421 */
    const expect = async (what: string, code: string, isBetween: boolean): Promise<boolean> => {
      const reply = await client.reply(30_000).catch((error: Error) => error.message);
      if (reply.startsWith(code)) return true;
      if (isBetween && /^421 4\.3\.2 /.test(reply)) load.turnedAway++;
      else load.surprises.push(`${what}: ${reply}`);
      return false;
    };
    try {
      if (!(await expect("greeting", "220", true))) return;
      client.write("EHLO client.example\r\n");
      if (!(await expect("EHLO", "250", true))) return;
      for (let i = 0; i < 5 && !isOver; i++) {
        const number = count++;
        const envelope = ["MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.com>", "DATA"];
        if (pipelines) client.write(`${envelope.join("\r\n")}\r\n`);
        for (const [step, command] of envelope.entries()) {
          if (!pipelines) client.write(`${command}\r\n`);
          if (!(await expect(command, step === 2 ? "354" : "250", step === 0))) return;
        }
        client.write(`X-Number: ${number}\r\n\r\nHello.\r\n.\r\n`);
        if (!(await expect("the final dot", "250", false))) return;
        load.accepted.add(number);
      }
      client.write("QUIT\r\n");
      await expect("QUIT", "221", true);
    } finally {
      client.close();
    }
  }

  const loops = Array.from({ length: clients }, async (_, index) => {
    while (!isOver) {
      if (mayGoOn(load)) await session(index % 2 === 0);
      else await delay(20);
    }
  });
  async function stop(): Promise<void> {
    isOver = true;
    await Promise.all(loops);
  }
  return load;
}

/** The numbers of the messages that a server took, in its order. */
export function numbersOf({ received }: Pick<SmtpPeer, "received">): number[] {
  return received.map(({ data }) => Number(/X-Number: (\d+)/.exec(data.toString("latin1"))?.[1]));
}
