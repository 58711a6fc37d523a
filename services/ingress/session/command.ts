/** A command line cut into its verb and its argument (RFC 5321 §4.1.1). Pure. */

/** The verbs that a session knows, and the kinds of all others. */
export type CommandName =
  | (typeof verbs)[number]
  /** Known to SMTP, and not offered here. */
  | "not-implemented"
  /** A web page can make a browser connect to us; the lines of its request must not become commands. */
  | "http"
  | "unknown";

export interface CommandLine {
  name: CommandName;
  /** The rest of the line, without white space around it. */
  argument: string;
}

const verbs = [
  "MAIL",
  "RCPT",
  "DATA",
  "EHLO",
  "HELO",
  "RSET",
  "QUIT",
  "NOOP",
  "VRFY",
  "HELP",
  "STARTTLS",
  "AUTH",
] as const;

const names = new Map<string, CommandName>(verbs.map((verb) => [verb, verb]));
for (const verb of ["BDAT", "EXPN", "TURN", "ETRN", "SEND", "SOML", "SAML"])
  names.set(verb, "not-implemented");
for (const method of ["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT"]) names.set(method, "http");

export function splitCommand(line: string): CommandLine {
  const space = line.indexOf(" ");
  const verb = space < 0 ? line : line.slice(0, space);
  return {
    name: names.get(verb) ?? names.get(verb.toUpperCase()) ?? "unknown",
    argument: space < 0 ? "" : line.slice(space + 1).trim(),
  };
}
