/** The lines that `postern demo` prints. Pure. */
import type { MailServerEvent } from "./mail-server.ts";
import type { DemoMessage } from "./scene.ts";

/** What the newcomer sees first. @param command  how to call `postern` from where the newcomer is */
export function introduction(where: {
  smtp: string;
  dashboard: string;
  log: string;
  config: string;
  command: string;
}): string[] {
  return [
    "A gateway with a mail server behind it, all on this machine. Nothing leaves it.",
    "Ctrl-C ends the demo and removes what it made.",
    "",
    `  dashboard      ${where.dashboard}`,
    `  SMTP           ${where.smtp}`,
    `  configuration  ${where.config}`,
    `  log            ${where.log}`,
    "",
    "Try in another terminal:",
    "",
    `  export POSTERN_CONFIG=${where.config}`,
    ...[
      "queue list",
      "queue show ID",
      "explain --client 127.0.0.1 --server 127.0.0.1 --to bob@customer.example",
    ].map((words) => `  ${where.command} ${words}`),
    "",
  ];
}

/** What the mail server did, and what the gateway does then. */
export function describeEvent(event: MailServerEvent): string {
  if (event.kind === "arrived") {
    const from = event.from === "" ? ", from the gateway itself" : "";
    return `arrived  ${quote(event.subject)} at ${event.to.join(", ")}${from}`;
  }
  const [word, next] = event.reply.startsWith("4")
    ? ["deferred", "the gateway will try again"]
    : ["refused ", "the gateway notifies the sender"];
  return `${word} ${event.to}: ${event.reply}; ${next}`;
}

/** @param reply  of the gateway: `250 2.0.0 Ok: queued as ID` */
export function describeSent({ to, subject }: DemoMessage, reply: string): string {
  const id = /queued as (\S+)/.exec(reply)?.[1];
  return `sent     ${quote(subject)} to ${to.join(", ")}: ${id === undefined ? reply : `queued as ${id}`}`;
}

function quote(subject: string): string {
  return `"${subject}"`;
}

export function atTime(date: Date, line: string): string {
  return `${date.toTimeString().slice(0, 8)}  ${line}`;
}
