/** The language of SMTP in types: enhanced status codes (RFC 3463) and replies of servers. Pure. */

/** `class.subject.detail`, for example `5.1.1`. The class is 2, 4 or 5. */
export type EnhancedStatus = `${2 | 4 | 5}.${number}.${number}`;

/** One SMTP reply as the server sent it (RFC 5321 §4.2), without the code and the enhanced status in its lines. */
export interface SmtpReply {
  code: number;
  /** Only when the server sent one. */
  enhanced?: EnhancedStatus;
  /** At least one; without line ends. */
  lines: string[];
  /** The command it answers: CONNECT (the greeting), EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, DOT, RSET, QUIT. */
  command: SmtpCommandName;
}

export type SmtpCommandName =
  | "CONNECT"
  | "EHLO"
  | "HELO"
  | "STARTTLS"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "DOT"
  | "RSET"
  | "QUIT";

/** Whether the command succeeded (RFC 5321 §4.2.1: 2yz). */
export function isPositive({ code }: Pick<SmtpReply, "code">): boolean {
  return code >= 200 && code < 300;
}
