/**
 * The SASL mechanisms PLAIN (RFC 4616) and LOGIN as AUTH carries them (RFC 4954 §4): from the client's lines to a user
 * name and a password. Pure.
 */
import { isUtf8 } from "node:buffer";
import { makeReply, type Reply } from "../../../shared/smtp/reply.ts";
import { normalizePassword, normalizeUserName } from "../../../shared/users/user-list.ts";
import { replies } from "../message/session-replies.ts";

export const mechanisms = ["PLAIN", "LOGIN"] as const;
export type Mechanism = (typeof mechanisms)[number];

/** In the one form that names and passwords have: Unicode NFC. */
export interface Credentials {
  user: string;
  password: string;
}

/** What the next line of the client is. */
export type Exchange =
  | { mechanism: "PLAIN" }
  /** LOGIN: the name, then the password. */
  | { mechanism: "LOGIN"; user?: string };

export type Step =
  | { kind: "challenge"; exchange: Exchange; reply: Reply }
  | { kind: "credentials"; mechanism: Mechanism; credentials: Credentials }
  /** The exchange is over without anything to check. */
  | { kind: "refused"; reply: Reply }
  /** RFC 4616 §2: to act as somebody else (the authorization identity). Nobody may. */
  | { kind: "other-identity"; mechanism: Mechanism; user: string };

/** Longer ones than RFC 4616 §2 asks servers to take are nobody's password. */
const maxPasswordBytes = 1024;

const emptyChallenge = makeReply(334, undefined, "");
const nameChallenge = makeReply(334, undefined, Buffer.from("Username:").toString("base64"));
const passwordChallenge = makeReply(334, undefined, Buffer.from("Password:").toString("base64"));

/** @param argument  of AUTH: the mechanism, and the initial response if the client sends one */
export function beginExchange(argument: string): Step {
  const [name = "", initial, ...more] = argument.split(/ +/);
  if (name === "" || more.length > 0) return refused(replies.authSyntax);
  const mechanism = mechanisms.find((known) => known === name.toUpperCase());
  if (mechanism === undefined) return refused(replies.unknownMechanism);
  const exchange: Exchange = { mechanism };
  if (initial === undefined)
    return { kind: "challenge", exchange, reply: mechanism === "PLAIN" ? emptyChallenge : nameChallenge };
  // RFC 4954 §4: a single "=" is an empty initial response.
  return continueExchange(exchange, initial === "=" ? "" : initial);
}

/** @param line  of the client, in answer to the last challenge */
export function continueExchange(exchange: Exchange, line: string): Step {
  if (line === "*") return refused(replies.authCancelled);
  const response = decodeBase64(line);
  if (response === undefined) return refused(replies.badBase64);
  switch (exchange.mechanism) {
    case "PLAIN":
      return readPlain(response);
    case "LOGIN":
      return exchange.user === undefined
        ? readLoginName(response)
        : readLoginPassword(exchange.user, response);
  }
}

function readPlain(response: string): Step {
  const [identity = "", name = "", password, ...more] = response.split("\0");
  const user = normalizeUserName(name);
  if (user === undefined || password === undefined || more.length > 0) return refused(replies.badCredentials);
  if (identity !== "" && identity.normalize("NFC") !== user)
    return { kind: "other-identity", mechanism: "PLAIN", user };
  return credentials("PLAIN", user, password);
}

function readLoginName(response: string): Step {
  const user = normalizeUserName(response);
  if (user === undefined) return refused(replies.badCredentials);
  return { kind: "challenge", exchange: { mechanism: "LOGIN", user }, reply: passwordChallenge };
}

function readLoginPassword(user: string, password: string): Step {
  return password.includes("\0") ? refused(replies.badCredentials) : credentials("LOGIN", user, password);
}

function credentials(mechanism: Mechanism, user: string, given: string): Step {
  const password = normalizePassword(given);
  if (password === "" || Buffer.byteLength(password) > maxPasswordBytes)
    return refused(replies.badCredentials);
  return { kind: "credentials", mechanism, credentials: { user, password } };
}

/** @returns text, or `undefined` for what is not base64 of UTF-8 */
function decodeBase64(line: string): string | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(line)) return undefined;
  const octets = Buffer.from(line, "base64");
  return isUtf8(octets) ? octets.toString("utf8") : undefined;
}

function refused(reply: Reply): Step {
  return { kind: "refused", reply };
}
