/** What happens in `postern demo`: who writes to whom, and how the mail server behind the gateway answers. Pure. */

/** All domains of the demo, under the reserved name `.example` (RFC 2606 §2). One server behind the gateway has them all. */
export const domains = ["office.example", "customer.example", "busy.example"] as const;

export interface DemoMessage {
  from: string;
  to: string[];
  subject: string;
  text: string;
}

const alice = "alice@office.example";

/** The first four messages, each with a fate of its own. */
const firstMessages: readonly DemoMessage[] = [
  {
    from: alice,
    to: ["bob@customer.example"],
    subject: "Hello Bob",
    text: "This one arrives at once.",
  },
  {
    from: alice,
    to: ["carol@busy.example"],
    subject: "Hello Carol",
    text: "Your mailbox is full now. The gateway keeps this message and tries again.",
  },
  {
    from: alice,
    to: ["nobody@customer.example"],
    subject: "Is anybody there?",
    text: "There is no such mailbox. The gateway returns a delivery status notification to Alice.",
  },
  {
    from: alice,
    to: ["bob@customer.example", "nobody@customer.example", "carol@busy.example"],
    subject: "To all three",
    text: "Bob gets it at once, Carol gets it later, and nobody cannot get it at all.",
  },
];

const writers = [alice, "bob@customer.example", "dave@office.example"];
const readers = [
  "bob@customer.example",
  "erin@customer.example",
  "carol@busy.example",
  "frank@office.example",
];
const subjects = ["Minutes of the meeting", "Invoice", "Lunch?", "Your order", "Holiday pictures", "Draft"];

/** @param index  0 is the first message of the demo; every number has a message, always the same */
export function demoMessage(index: number): DemoMessage {
  const first = firstMessages[index];
  if (first !== undefined) return first;
  const pick = <T>(list: readonly T[], step: number): T => list[(index * step) % list.length] as T;
  const reader = index % 23 === 0 ? "nobody@customer.example" : pick(readers, 7);
  return {
    from: pick(writers, 5),
    to: [reader],
    subject: `${pick(subjects, 11)} (${index + 1})`,
    text: "One of many, so that the pages have something to show.",
  };
}

/** How often the server of a full mailbox defers a message before the mailbox has room again. */
const deferredAttempts = 2;

/**
 * The answer to RCPT of the server behind the gateway. The mailbox of `full@busy.example` stays full.
 * The text begins with the enhanced status (RFC 3463).
 */
export interface RecipientAnswer {
  code: number;
  text: string;
}

/** @param attempts  how often this recipient of this message was named before */
export function answerRecipient(recipient: string, attempts: number): RecipientAnswer {
  const [local = "", domain = ""] = recipient.toLowerCase().split("@");
  if (!domains.some((known) => known === domain)) {
    return { code: 550, text: `5.7.1 no mailbox of this domain is here` };
  }
  if (local === "nobody") return { code: 550, text: `5.1.1 no such mailbox` };
  if (domain === "busy.example" && (local === "full" || attempts < deferredAttempts)) {
    return { code: 452, text: `4.2.2 mailbox full` };
  }
  return { code: 250, text: "2.1.5 OK" };
}
