/** AUTH PLAIN and LOGIN in a session that is being opened (RFC 4954). */
import { deferred, remoteName } from "../../smtp/diagnose.ts";
import { isPositive, type SmtpReply } from "../../smtp/status.ts";
import type { SmtpConnection } from "./connection.ts";
import type { OpeningFailure, SessionDeps, SessionRequest } from "./session.ts";
import { failed, lost, refused } from "./session.ts";

/** @param offered  mechanisms in upper case */
export async function authenticate(
  connection: SmtpConnection,
  offered: readonly string[],
  { auth, remote }: SessionRequest,
  { timeouts, now }: SessionDeps,
): Promise<OpeningFailure | undefined> {
  if (auth === undefined) return undefined;
  let lines: string[];
  if (offered.includes("PLAIN")) lines = [`AUTH PLAIN ${base64(`\0${auth.user}\0${auth.password}`)}`];
  else if (offered.includes("LOGIN")) lines = ["AUTH LOGIN", base64(auth.user), base64(auth.password)];
  else {
    const offers = offered.length === 0 ? "no AUTH" : `only AUTH ${offered.join(" ")}`;
    const reason = `${remoteName(remote)} offers ${offers}: we know PLAIN and LOGIN`;
    return failed(deferred("network", "4.7.0", reason, now(), remote));
  }
  for (const [i, line] of lines.entries()) {
    connection.command(`${line}\r\n`);
    const heard = await connection.hear("AUTH", timeouts.mail);
    if (heard.kind === "lost") return lost(heard.disconnectReason, remote, "while saying AUTH", now());
    const isLast = i === lines.length - 1;
    if (isLast ? isPositive(heard.reply) : heard.reply.code === 334) continue;
    return refused(withoutPassword(heard.reply, auth.password, lines), remote, now());
  }
  return undefined;
}

/** A server may repeat what it was told, and its replies go into the log and into jobs. */
function withoutPassword(reply: SmtpReply, password: string, sent: readonly string[]): SmtpReply {
  const secrets = [password, ...sent.map((line) => line.replace(/^AUTH \w+ ?/, ""))].filter(
    (secret) => secret !== "",
  );
  const mask = (line: string) => secrets.reduce((text, secret) => text.replaceAll(secret, "***"), line);
  return { ...reply, lines: reply.lines.map(mask) };
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
