/** Every reply that a queued session gives. Codes: RFC 5321 §4.2.3; enhanced codes: RFC 3463, RFC 2034, RFC 6531. */
import { greetingText, makeEhloReply, makeReply, type Reply } from "../../../shared/smtp/reply.ts";

export const replies = {
  mailOk: makeReply(250, "2.1.0", "Ok"),
  rcptOk: makeReply(250, "2.1.5", "Ok"),
  ok: makeReply(250, "2.0.0", "Ok"),
  bye: makeReply(221, "2.0.0", "Bye"),
  help: makeReply(214, "2.0.0", "See RFC 5321"),
  cannotVerify: makeReply(252, "2.0.0", "Cannot verify the address, but will try to deliver"),
  startTls: makeReply(220, "2.0.0", "Ready to start TLS"),
  startData: makeReply(354, undefined, "End data with <CR><LF>.<CR><LF>"),

  authAccepted: makeReply(235, "2.7.0", "Authentication successful"),
  authFailed: makeReply(535, "5.7.8", "Authentication credentials invalid"),
  authUnavailable: makeReply(454, "4.7.0", "Authentication is not possible now, try again later"),
  tooManyLogins: makeReply(454, "4.7.0", "Too many failed logins, try again later"),
  authNeedsTls: makeReply(538, "5.7.11", "Encryption is required for authentication: use STARTTLS"),
  authAlready: makeReply(503, "5.5.1", "You are authenticated already"),
  authInTransaction: makeReply(503, "5.5.1", "AUTH is not permitted during a mail transaction"),
  authSyntax: makeReply(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]"),
  authCancelled: makeReply(501, "5.7.0", "Authentication cancelled"),
  authLineTooLong: makeReply(500, "5.5.6", "Authentication exchange line is too long"),
  badBase64: makeReply(501, "5.5.2", "The response is not base64 of UTF-8 text"),
  badCredentials: makeReply(501, "5.5.2", "The response is not a user name and a password"),
  unknownMechanism: makeReply(504, "5.5.4", "Unrecognized authentication mechanism"),

  unknownCommand: makeReply(500, "5.5.2", "Command not recognized"),
  malformedLine: makeReply(500, "5.5.2", "A command is one line of text that ends in <CR><LF>"),
  lineTooLong: makeReply(500, "5.5.2", "Line too long"),
  notImplemented: makeReply(502, "5.5.1", "Command not implemented"),

  // RFC 2034 §4: replies to HELO and EHLO carry no enhanced code.
  heloSyntax: makeReply(501, undefined, "Syntax: HELO hostname"),
  ehloSyntax: makeReply(501, undefined, "Syntax: EHLO hostname"),
  mailSyntax: makeReply(501, "5.5.4", "Syntax: MAIL FROM:<address>"),
  rcptSyntax: makeReply(501, "5.5.4", "Syntax: RCPT TO:<address>"),
  noArguments: makeReply(501, "5.5.4", "The command takes no arguments"),
  argumentNeeded: makeReply(501, "5.5.4", "The command needs an argument"),
  badParameter: makeReply(501, "5.5.4", "A parameter's value is malformed"),
  duplicateParameter: makeReply(501, "5.5.4", "A parameter is given twice"),
  unknownParameter: makeReply(555, "5.5.4", "Parameter not recognized or not implemented"),
  badSender: makeReply(501, "5.1.7", "Bad sender address syntax"),
  badRecipient: makeReply(501, "5.1.3", "Bad recipient address syntax"),
  utf8Needed: makeReply(553, "5.6.7", "The address needs the SMTPUTF8 parameter"),

  heloFirst: makeReply(503, "5.5.1", "Send HELO or EHLO first"),
  mailAlready: makeReply(503, "5.5.1", "A mail transaction is already open"),
  mailFirst: makeReply(503, "5.5.1", "Send MAIL first"),
  rcptFirst: makeReply(503, "5.5.1", "Send RCPT first"),
  noRecipients: makeReply(554, "5.5.1", "No valid recipients"),
  tlsActive: makeReply(503, "5.5.1", "TLS is already active"),
  pipelinedStartTls: makeReply(503, "5.5.1", "Nothing may follow STARTTLS before the TLS handshake"),
  tooManyRecipients: makeReply(452, "4.5.3", "Too many recipients"),
  envelopeTooLarge: makeReply(452, "4.3.1", "Not enough memory for more recipients, send the rest later"),

  tooLarge: makeReply(552, "5.3.4", "The message is larger than this server accepts"),
  loop: makeReply(554, "5.4.6", "Too many hops: the message seems to go round in circles"),
  bareNewline: makeReply(550, "5.6.11", "The message has a bare CR, a bare LF or a NUL"),
  localError: makeReply(451, "4.3.0", "Local error in processing, try again later"),
  unheard: makeReply(451, "4.4.2", "The connection was lost before the reply"),
  storageShort: makeReply(452, "4.3.1", "Insufficient system storage, try again later"),

  brokenOff: makeReply(421, "4.3.0", "Local error in processing, try again later"),
  closing: makeReply(421, "4.3.2", "Service is shutting down"),
  idle: makeReply(421, "4.4.2", "Nothing was sent for too long"),
  sessionTooLong: makeReply(421, "4.4.2", "The session has lasted too long"),
  tooSlow: makeReply(421, "4.4.2", "The message comes too slowly"),
  tooManyConnections: makeReply(421, "4.7.0", "Too many connections from your address, try again later"),
  processFull: makeReply(421, "4.3.2", "Too many connections, try again later"),
  tooManyMessages: makeReply(450, "4.7.1", "Too many messages from your address, try again later"),
  tooManyErrors: makeReply(421, "4.7.0", "Too many errors"),
  notHttp: makeReply(421, "4.7.0", "This is a mail server"),
  earlyTalker: makeReply(554, "5.5.1", "You must wait for the greeting"),
} as const satisfies Record<string, Reply>;

/** RFC 5321 §4.2: the greeting begins with the host's name. */
export function greeting(hostname: string): Reply {
  return makeReply(220, undefined, greetingText(hostname));
}

export function heloReply(hostname: string): Reply {
  return makeReply(250, undefined, hostname);
}

/**
 * Offers what the session honours, and nothing else.
 * @param maxMessageBytes  0: no fixed maximum (RFC 1870 §4)
 * @param more             keywords of this session besides
 */
export function ehloReply(hostname: string, maxMessageBytes: number, more: readonly string[]): Reply {
  return makeEhloReply([
    hostname,
    "PIPELINING",
    `SIZE ${maxMessageBytes}`,
    ...more,
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "DSN",
    "SMTPUTF8",
  ]);
}

export function queuedReply(id: string): Reply {
  return makeReply(250, "2.0.0", `Ok: queued as ${id}`);
}
