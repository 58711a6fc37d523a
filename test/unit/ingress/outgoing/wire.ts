/** A dialogue with nothing at its ends: it keeps what passes. */
import type { OpaqueReason } from "../../../../services/ingress/outgoing/client-framing.ts";
import { Dialogue } from "../../../../services/ingress/outgoing/dialogue.ts";
import type { ObservedTransaction } from "../../../../services/ingress/outgoing/observed-transactions.ts";
import type { EndReason } from "../../../../services/ingress/outgoing/out-of-step.ts";
import type { ProxyRules } from "../../../../services/ingress/outgoing/rules.ts";

export class Wire {
  readonly dialogue: Dialogue;
  readonly transactions: ObservedTransaction[] = [];
  opaque: OpaqueReason | undefined;
  /** Why the dialogue ended, and the last reply to the client. */
  ended: EndReason | undefined;
  lastReply: string | undefined;
  /** With the rule `limitsMail`: what is answered before each MAIL. */
  admitMail: () => boolean | Promise<boolean> = () => true;
  heldInputRead = 0;
  /** Sees each piece that goes to the server, as it is. */
  toServer: (octets: Buffer) => void = () => {};
  #toServer = "";
  #toClient = "";

  constructor(rules: Partial<ProxyRules> = {}) {
    this.dialogue = new Dialogue(
      { starttls: "pass", requireAuth: false, xclient: "pass", ...rules },
      {
        sendToServer: (octets) => {
          this.toServer(octets);
          this.#toServer += octets.toString("latin1");
        },
        sendToClient: (octets) => {
          this.#toClient += octets.toString("latin1");
        },
        admitMail: () => this.admitMail(),
        heldInputRead: () => {
          this.heldInputRead++;
        },
        transactionEnded: (transaction) => this.transactions.push(transaction),
        becameOpaque: (reason) => {
          this.opaque = reason;
        },
        endDialogue: (reason, lastReply) => {
          this.ended = reason;
          this.lastReply = lastReply?.octets.toString("latin1").trimEnd();
        },
      },
    );
  }

  /** @param text  lines are joined by "\n" and end in CRLF; octets go as they are */
  client(text: string | Buffer): this {
    this.dialogue.fromClient(typeof text === "string" ? wired(text) : text);
    return this;
  }

  server(text: string | Buffer): this {
    this.dialogue.fromServer(typeof text === "string" ? wired(text) : text);
    return this;
  }

  /** What went to the server since the last time, CRLF as "\n", without the last one. */
  atServer(): string {
    const text = this.#toServer;
    this.#toServer = "";
    return unwired(text);
  }

  atClient(): string {
    const text = this.#toClient;
    this.#toClient = "";
    return unwired(text);
  }
}

function wired(text: string): Buffer {
  return Buffer.from(`${text.replaceAll("\n", "\r\n")}\r\n`, "latin1");
}

function unwired(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(/\n$/, "");
}
