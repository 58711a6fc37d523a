/** What clients send (pure): messages with recipients that are unique in the run. */
import type { Door, Notify, Recipient } from "../history/events.ts";
import { recipientDomains } from "../peers/domains.ts";
import { checkField } from "../peers/report.ts";
import type { Random } from "../random.ts";

export interface ChaosMessage {
  door: Door;
  /** Empty for the null sender. */
  from: string;
  recipients: Recipient[];
  data: string;
}

const notifies: (Notify | undefined)[] = [
  undefined,
  undefined,
  undefined,
  "NEVER",
  "SUCCESS",
  "FAILURE",
  "SUCCESS,FAILURE",
  "DELAY,FAILURE",
];

/** The number makes its addresses unique. */
export function makeMessage(number: number, door: Door, random: Random): ChaosMessage {
  const count = random.chance(0.3) ? random.between(2, 8) : 1;
  const recipients = Array.from({ length: count }, (_, index): Recipient => {
    const notify = random.pick(notifies);
    const address = `r${number}-${index}@${domainFor(door, random)}`;
    // Servers behind the proxy are asked themselves, and not all of them know DSN.
    return notify === undefined || door === "proxied" ? { address } : { address, notify };
  });
  const body = makeBody(number, random);
  return {
    door,
    from: senderOf(number, random),
    recipients,
    data: [
      `From: s${number}@back.test`,
      `Subject: message ${number}`,
      `Message-ID: <m${number}@client.test>`,
      checkField(body),
      "",
      body,
    ].join("\r\n"),
  };
}

function domainFor(door: Door, random: Random): string {
  switch (door) {
    case "inline":
      return "office.test";
    case "proxied":
      return "moody.test";
    default:
      return random.pick(recipientDomains);
  }
}

function senderOf(number: number, random: Random): string {
  if (random.chance(0.05)) return "";
  return random.chance(0.05) ? `s${number}@nobody.test` : `s${number}@back.test`;
}

/** Most are small; a few go into a file of their own in the spool. */
function makeBody(number: number, random: Random): string {
  const octets = random.chance(0.04) ? random.between(300_000, 1_500_000) : random.between(20, 6_000);
  const line = `line of message ${number} ${"x".repeat(40)}\r\n`;
  return line.repeat(Math.ceil(octets / line.length));
}
