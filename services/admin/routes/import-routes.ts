/** The routes that put messages in the queue again, through the spool: one message, or a mailbox as a task. */
import { z } from "zod";
import { type ImportedMessage, readMessages } from "../../../shared/mail/import-source.ts";
import { importMailbox, type MailboxEntry } from "../tasks/import-mailbox.ts";
import { ImportRefused, importMessage } from "../tasks/import-message.ts";
import { taskSchema } from "../tasks/task.ts";
import type { TaskRunner } from "../tasks/task-runner.ts";
import { actorOf } from "./actor.ts";
import { startTask } from "./change-routes.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { mailbox } from "./mailbox.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import { changeReport } from "./schemas.ts";

/** JSON with the message in base64. */
const bodyLimit = 100 * 1024 * 1024;
/** The admin has the whole mailbox in memory; larger ones go by `postern queue import`, message by message. */
const mailboxLimit = 32 * 1024 * 1024;

const reversePath = z.union([z.enum(["", "<>"]).transform(() => ""), mailbox]);
const importBody = z.strictObject({
  from: reversePath.meta({ jsonSchema: { type: "string" }, description: "The reverse-path; empty for <>." }),
  to: z
    .array(mailbox.meta({ jsonSchema: { type: "string" } }))
    .min(1)
    .max(10_000),
  message: z.base64().min(1).describe("Header section and body, base64. Line ends become CRLF."),
  id: z
    .string()
    .regex(/^[\w.@<>+=-]{1,200}$/)
    .optional()
    .describe("The same id is imported once; absent: it follows from envelope and message."),
});
const importReport = z.object({
  id: z.string().describe("Its queue id."),
  status: z.enum(["queued", "known"]).describe("known: it was imported before, and nothing was done."),
});

const mailboxQuery = z.strictObject({
  from: reversePath.optional().meta({
    jsonSchema: { type: "string" },
    description: "The sender of all messages; absent: as each says.",
  }),
  to: z
    .string()
    .max(10_000)
    .optional()
    .describe("The recipients of all messages, separated by commas; absent: as each says."),
  name: z.string().max(255).optional().describe("Of the file, for the log and for people."),
  reason: z.string().max(500).optional().describe("For people."),
  dryRun: z.enum(["true", "false"]).optional().describe("true: only count and check the messages."),
});

export function importRoutes(deps: AdminDependencies, tasks: TaskRunner): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/messages",
      operationId: "importMessage",
      summary: "Stores a message in the spool and schedules it; repeated with the same id, it does nothing",
      access: "write",
      bodyLimit,
      body: importBody,
      responses: { 200: { description: "It is on stable storage.", schema: importReport } },
      async handle({ body: { message, ...mail }, request }) {
        const given = { ...mail, octets: Buffer.from(message, "base64") };
        return ask(importMessage(deps, given, actorOf(request)).catch(asRefusal));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/imports",
      operationId: "importMailbox",
      summary: "Imports the messages of an mbox (RFC 4155) or one exported message as a task, each once",
      access: "write",
      bodyLimit: mailboxLimit,
      bodyType: "application/mbox",
      query: mailboxQuery,
      responses: {
        200: {
          description: "With dryRun: how many it would import, and why not the others.",
          schema: changeReport,
        },
        202: { description: "It runs.", schema: taskSchema },
      },
      async handle({ query: { from, to, name = "a mailbox", reason, dryRun }, request, reply }) {
        const entries = entriesOf(request.body, from, recipientsOf(to));
        const actor = actorOf(request);
        if (dryRun === "true") {
          return { ...(await ask(importMailbox(deps, entries, actor, { dryRun: true }))), task: null };
        }
        const described = { file: name, messages: entries.length };
        const wanted = { action: "import" as const, mailbox: entries, described, terms: { reason }, actor };
        const { task } = await startTask(tasks, wanted);
        reply.code(202);
        return task;
      },
    }),
  ];
}

/** @throws Problem 400 */
function recipientsOf(text: string | undefined): string[] {
  const given = (text ?? "").split(",").filter((each) => each.trim() !== "");
  return given.map((each) => {
    const parsed = mailbox.safeParse(each);
    if (parsed.success) return parsed.data;
    const detail = `is not a mail address: ${each.trim()}`;
    throw new Problem(400, `query.to ${detail}`, { violations: [{ field: "query.to", detail }] });
  });
}

/** @throws Problem 400 without a body */
function entriesOf(body: unknown, from: string | undefined, to: readonly string[]): MailboxEntry[] {
  if (!Buffer.isBuffer(body) || body.length === 0)
    throw new Problem(400, "The body is no mailbox: send its octets as application/mbox.");
  return readMessages(body).map((message) => entryOf(message, from, to));
}

function entryOf(message: ImportedMessage, from: string | undefined, to: readonly string[]): MailboxEntry {
  const sender = from ?? message.from;
  if (sender === undefined) return { reason: "does not say who sent it: give the sender" };
  const recipients = to.length > 0 ? to : message.to;
  if (recipients.length === 0) return { reason: "does not say whom it is for: give the recipients" };
  const parsedFrom = reversePath.safeParse(sender);
  const parsedTo = mailbox.array().safeParse(recipients);
  if (!parsedFrom.success) return { reason: `has a sender that is no mail address: ${sender.slice(0, 100)}` };
  if (!parsedTo.success) return { reason: "has a recipient that is no mail address" };
  // Other recipients are another import.
  const id = from === undefined && to.length === 0 ? message.id : undefined;
  return { mail: { id, from: parsedFrom.data, to: parsedTo.data, octets: message.octets } };
}

function asRefusal(error: unknown): never {
  if (error instanceof ImportRefused) throw new Problem(error.isTooLarge ? 413 : 400, error.message);
  throw error;
}
