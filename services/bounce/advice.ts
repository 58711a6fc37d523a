/** What a failure means and what the sender can do about it, in words for people who do not run mail servers. Pure. */
import type { EnhancedStatus } from "../../shared/smtp/status.ts";

/**
 * The most exact entry wins: `5.1.1`, then `5.1`. The meanings are those of RFC 3463 and its registry (RFC 5248).
 * A refusal by a server's own policy is explained by its reply only.
 */
const advice: Record<string, string> = {
  "1": "The server does not take mail for this address. Check it for spelling mistakes, or ask the recipient for the right address in some other way, and send the message again.",
  "1.1":
    "There is no mailbox of that name there. Check the address for spelling mistakes, or ask the recipient for the right address in some other way, and send the message again.",
  "1.2":
    "The part of the address after the @ is not a place that receives mail. Check it for spelling mistakes and send the message again.",
  "1.3":
    "The address is not written as it should be. Check it for spelling mistakes and send the message again.",
  "1.6": "The recipient has moved and left no new address. Ask the recipient for it in some other way.",
  "1.7":
    "The receiving server does not accept your own address as a sender. Check the sender address that your mail program is set to use.",
  "1.8":
    "The receiving server does not accept your own address as a sender, because it cannot find its domain. Check the sender address that your mail program is set to use, or ask your mail administrator.",
  "1.10":
    "That domain says of itself that it receives no mail at all. Check the address for spelling mistakes, or reach the recipient in some other way.",
  "2": "The recipient's mailbox cannot take the message. Reach the recipient in some other way; sending it again only helps once the mailbox is in order.",
  "2.1": "The mailbox is switched off. Reach the recipient in some other way.",
  "2.2":
    "The recipient's mailbox is full. Send the message again later, and tell the recipient about it in some other way.",
  "2.3":
    "The message is larger than the recipient's mailbox allows. Send it without large attachments, or share them by a link.",
  "3": "The receiving mail system has a problem of its own. Send the message again later; if it keeps failing, reach the recipient in some other way.",
  "3.4":
    "The message is larger than the receiving server allows. Send it without large attachments, or share them by a link.",
  "4": "The message did not find its way to the receiving server. Check the part of the address after the @ for spelling mistakes; if it is right, try again later or reach the recipient in some other way.",
  "4.4":
    "No server that receives mail could be found for the part of the address after the @. Check it for spelling mistakes and send the message again.",
  "4.6":
    "The message was going in a circle between mail servers. This is an error in how they are set up: please show this notice to your mail administrator.",
  "4.7": "If the message still matters, send it again, or reach the recipient in some other way.",
  "5": "The two mail servers did not understand each other. Please show this notice to your mail administrator.",
  "5.3":
    "The message had more recipients than the receiving server takes at once. Send it to fewer at a time.",
  "6": "The receiving server cannot handle the form that this message is in. Send it as plain text, or in another format.",
  "6.7":
    "The address or the message needs international characters, which the receiving server does not support. Ask the recipient for an address without them.",
  "7": "The receiving server refused the message by its own rules; its words above say why. If they do not help, reach the recipient in some other way, or show this notice to your mail administrator.",
  "7.30":
    "You asked for the message to travel over protected connections only, and the receiving server does not offer one. Send it without that requirement, or in some other way.",
};

/** For what this gateway itself decided; the same status from a server would mean something else. */
const ownAdvice: Record<string, string> = {
  "7.10":
    "You asked for the message to travel over protected connections only, and no protected connection to the receiving server could be made. Send it without that requirement, or in some other way.",
  "7.0":
    "If you do not know why, ask your mail administrator and show them this notice. Sending the message again unchanged may end the same way.",
};

/** RFC 7372, RFC 7489 and the registry: the receiver could not verify who sent it. */
const unverifiedSender = new Set([
  "7.20",
  "7.21",
  "7.22",
  "7.23",
  "7.24",
  "7.25",
  "7.26",
  "7.27",
  "7.28",
  "7.29",
]);

/** @param fromServer  a server gave the status in its reply; else we found it out ourselves */
export function adviceFor(status: EnhancedStatus, fromServer: boolean): string {
  const [, subject = "", detail = ""] = status.split(".");
  if (unverifiedSender.has(`${subject}.${detail}`)) {
    return "The receiving server could not verify that the message really comes from your address. This is for the administrator of your mail domain: please show this notice to them.";
  }
  return (
    (fromServer ? undefined : ownAdvice[`${subject}.${detail}`]) ??
    advice[`${subject}.${detail}`] ??
    (fromServer || subject === "4" ? advice[subject] : undefined) ??
    "The words above are all that is known. Reach the recipient in some other way, or show this notice to your mail administrator."
  );
}
