/** What the server's replies have shown of it so far. Pure. */
import type { Command } from "../../../shared/smtp/command-line.ts";
import { ehloKeywords, type WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { isAuthenticated } from "./client-framing.ts";
import type { Answered } from "./observed-transactions.ts";
import type { ServerFacts } from "./rules.ts";

export class ObservedServer implements ServerFacts {
  isAuthenticated = false;
  chunking = false;
  startTls = false;
  /** The command whose reply says what is offered: the last EHLO or HELO, unless the session has begun again since. */
  #hello: Command | undefined;

  /** A command went to the server. */
  commandPassed(command: Command): void {
    const { kind, verb } = command;
    if (kind === "hello") this.#forgetOffers(command);
    // Postfix XCLIENT begins the session again. XFORWARD changes nothing.
    if (kind === "xclient" && verb === "XCLIENT") {
      this.#forgetOffers(undefined);
      this.isAuthenticated = false;
    }
  }

  readReply(answered: Answered, reply: WholeReply): void {
    switch (answered.kind) {
      case "hello":
        if (answered !== this.#hello || answered.verb !== "EHLO" || reply.code !== 250) return;
        this.#readOffers(reply);
        return;
      case "auth":
      case "auth-response":
        if (isAuthenticated(reply)) this.isAuthenticated = true;
        return;
      default:
        return;
    }
  }

  #readOffers(reply: WholeReply): void {
    const keywords = ehloKeywords(reply);
    this.chunking = keywords.has("CHUNKING");
    this.startTls = keywords.has("STARTTLS");
  }

  #forgetOffers(hello: Command | undefined): void {
    this.#hello = hello;
    this.chunking = false;
    this.startTls = false;
  }
}
