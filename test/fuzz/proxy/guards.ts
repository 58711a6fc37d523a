/**
 * The guards of the outgoing proxy, and how to take each one out of its source: a fuzzer that does not notice is of no use.
 * Each change must apply to exactly one place.
 */
import { type Guard, takeOut as takeOutOf } from "../guard.ts";

export const guards: Record<string, Guard> = {
  "command lines of limited length": {
    file: "strict-lines.ts",
    from: 'if (!isWhole || line.length > (command.kind === "auth" ? maxAuthOctets : maxOtherOctets))',
    to: "if (line.length < 0)",
  },
  "AUTH responses of limited length": {
    file: "strict-lines.ts",
    from: "if (!isWhole || line.length > maxAuthOctets) return",
    to: "if (line.length < 0) return",
  },
  "AUTH responses in base64": {
    file: "strict-lines.ts",
    from: 'return strictAuthResponse.test(withoutLineEnd(line).toString("latin1"))',
    to: "return line.length > 0",
  },
  "no control characters and no white space before a verb": {
    file: "strict-lines.ts",
    from: "if (!isPlain(text)) return",
    to: "if (line.length < 0) return",
  },
  "no unknown commands": {
    file: "strict-lines.ts",
    from: 'return command.verb === "BDAT" ? replies.badChunk : replies.unknownCommand;',
    to: "return undefined;",
  },
  "no TURN": {
    file: "strict-lines.ts",
    from: 'case "turn":\n      return replies.notAvailable;',
    to: 'case "turn":\n      return undefined;',
  },
  "no STARTTLS that was not offered": {
    file: "strict-lines.ts",
    from: "return offers.startTls ? undefined :",
    to: "return line.length > 0 ? undefined :",
  },
  "no BDAT for a server without CHUNKING": {
    file: "strict-lines.ts",
    from: "if (!offers.chunking) return",
    to: "if (line.length < 0) return",
  },
  "BDAT sizes that all servers read alike": {
    file: "strict-lines.ts",
    from: 'return strictBdat.test(text.toString("latin1")) && command.octets <= maxChunkOctets',
    to: "return line.length > 0",
  },
  "nothing is offered before the reply to EHLO": {
    file: "observed-server.ts",
    from: 'if (kind === "hello") this.#forgetOffers(command);',
    to: 'if (kind === "hello") this.#hello = command;',
  },
  "no line of a message that some take for its end": {
    file: "client-framing.ts",
    from: "isStrict ? new UnclearEndOfData() : new EndOfData()",
    to: "isStrict ? new EndOfData() : new EndOfData()",
  },
  "no reply out of step": {
    file: "out-of-step.ts",
    from: "if (reply.code === 421) return undefined;",
    to: "if (reply.code > 0) return undefined;",
  },
  "what is offered counts for the last EHLO only": {
    file: "observed-server.ts",
    from: "answered !== this.#hello ||",
    to: "",
  },
  "after XCLIENT the client has to AUTH again": {
    file: "observed-server.ts",
    from: "this.isAuthenticated = false;",
    to: "",
  },
  "a rate is a policy": {
    file: "rules.ts",
    from: '|| xclient === "refuse" || limitsMail === true;',
    to: '|| xclient === "refuse" || (limitsMail === true && starttls === "strip");',
  },
  "no SASL security layer under a policy": {
    file: "dialogue.ts",
    from: "if (this.#isEnforcing) this.#end(reason, replies.outOfStep);",
    to: "if (this.#isEnforcing && this.#expected.isEmpty) this.#becomeOpaque(reason);",
  },
};

/** To be called before the outgoing proxy is imported. @throws Error when the guard is not where the list says */
export function takeOut(name: string): void {
  const guard = guards[name];
  if (guard === undefined) throw new Error(`no guard "${name}"`);
  takeOutOf({ ...guard, file: `services/ingress/outgoing/${guard.file}` });
}
