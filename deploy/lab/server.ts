/**
 * A mail server of the lab. It takes all mail but for `nobody`, who does not exist, and `busy`, whose mailbox is full at the
 * first attempt. Owns its listening socket; stop() of the result ends it.
 */
import { appendFileSync } from "node:fs";
import { type SmtpPeer, startSmtpPeer } from "../../test/support/smtp-peer.ts";

/** One line of the file of arrivals. */
export interface Arrival {
  server: string;
  from: string;
  to: string[];
  subject: string;
  /** Received fields: none when a gateway has let the session through. */
  received: number;
}

export interface MailServerDeps {
  /** Gets a line of JSON for each message. */
  arrivals: string;
  print(line: string): void;
}

export function startMailServer(
  { name, address }: { name: string; address: string },
  { arrivals, print }: MailServerDeps,
): Promise<SmtpPeer> {
  /** Recipients that have been deferred once. */
  const deferred = new Set<string>();
  let sender = "";
  return startSmtpPeer({
    address,
    port: 25,
    script: {
      connect: () => `220 ${name} ESMTP`,
      mail(from) {
        sender = from;
        return undefined;
      },
      rcpt(to) {
        const [local = ""] = to.split("@");
        if (local === "nobody") return refuse(`550 5.1.1 no such mailbox`, to);
        const key = `${sender} ${to}`;
        if (local !== "busy" || deferred.delete(key)) return undefined;
        deferred.add(key);
        return refuse(`452 4.2.2 mailbox full`, to);
      },
      message({ from, to, data }) {
        const [head = ""] = data.toString("latin1").split("\r\n\r\n", 1);
        const arrival: Arrival = {
          server: name,
          from,
          to: to.map(({ address: each }) => each),
          subject: /^subject: *(.*)/im.exec(head)?.[1] ?? "",
          received: [...head.matchAll(/^received:/gim)].length,
        };
        appendFileSync(arrivals, `${JSON.stringify(arrival)}\n`);
        print(`${name}: "${arrival.subject}" from <${from}> to ${arrival.to.join(", ")}`);
        return undefined;
      },
    },
  });

  function refuse(reply: string, to: string): string {
    print(`${name}: ${to}: ${reply}`);
    return reply;
  }
}
