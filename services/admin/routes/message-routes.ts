/** Routes that read messages: the list, everything about one, and its octets. */
import type { OutgoingHttpHeaders } from "node:http";
import { isQueueId } from "../../../shared/mail/queue-id.ts";
import { parseDeliveryJobId } from "../../../shared/queue/contract/contract.ts";
import type { InspectedJob } from "../../../shared/queue/operator/rows.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import { headerSection, readStart } from "../../../shared/spool/header-section.ts";
import { type Locator, SpoolCorrupt } from "../../../shared/spool/spool.ts";
import { actorOf } from "./actor.ts";
import type { AdminDependencies } from "./dependencies.ts";
import { ask } from "./dependencies.ts";
import { describeMessage, messageDetail } from "./message-detail.ts";
import { historyOf } from "./message-history.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";
import { idParams, listQuery } from "./schemas.ts";
import { toJobFilter } from "./selection.ts";
import { describeIndex } from "./summary-routes.ts";
import { messagePage } from "./summary-schemas.ts";

/** Header sections longer than this are cut; servers refuse them long before. */
const maxHeaderBytes = 64 * 1024;

/** The latest of a message with very many recipients and attempts. */
const maxEvents = 1_000;

export function messageRoutes(deps: AdminDependencies): Route[] {
  const { inspector, spool } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/messages",
      operationId: "listMessages",
      summary: "The delivery jobs that match, page by page",
      access: "read",
      query: listQuery,
      responses: {
        200: {
          description: "A page. It may be short or empty and still have a next one.",
          schema: messagePage,
        },
      },
      async handle({ query: { limit, cursor, sort, ...filter } }) {
        const page = {
          limit,
          ...(cursor === undefined ? {} : { cursor }),
          ...(sort === undefined ? {} : { sort }),
        };
        const { rows, next, totals, index } = await ask(inspector.list(toJobFilter(filter), page));
        return { messages: rows, next, totals, ...describeIndex(index) };
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/messages/{id}",
      operationId: "showMessage",
      summary: "Everything about one message but its body; its header needs a token with the scope content",
      access: "read",
      params: idParams,
      responses: { 200: { description: "The message.", schema: messageDetail } },
      async handle({ params, request }) {
        const { id, jobs } = await findMessage(deps, params.id);
        const locator = jobs[0]?.job.locator;
        const meta = await ask(spool.readMeta(id, locator));
        if (meta === undefined) throw notFound(id);
        const states = await ask(spool.states(id, true));
        const header = request.caller.mayReadContent ? await ask(readHeader(deps, id, locator)) : null;
        const history = historyOf(id, await ask(deps.events.find(id, maxEvents)));
        return describeMessage(
          meta,
          states,
          jobs,
          header?.toString("utf8") ?? null,
          history,
          deps.config.queue,
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/messages/{id}/raw",
      operationId: "exportMessage",
      summary: "The message as it was received, with its original header fields",
      access: "content",
      params: idParams,
      responses: { 200: { description: "The octets of the message.", type: "message/rfc822" } },
      async handle({ params, request, reply }) {
        const { id, jobs } = await findMessage(deps, params.id);
        const { body } = await readMessage(deps, id, jobs);
        logEvent(deps.log, { event: "admin.export", id, ...actorOf(request) });
        reply
          .type("message/rfc822")
          .header("content-length", body.kind === "buffer" ? body.bytes.length : body.size)
          .header("content-disposition", `attachment; filename="${id}.eml"`);
        // Fastify would read the whole file to answer HEAD.
        if (request.method === "HEAD") {
          reply.hijack();
          reply.raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders).end();
          return reply;
        }
        return reply.send(body.kind === "buffer" ? body.bytes : body.open());
      },
    }),
  ];
}

/**
 * The message that a job's id, a queue id or a Message-ID names, and its jobs, if it has any.
 * @throws Problem 404; 409 when several messages have the Message-ID
 */
async function findMessage(
  { inspector }: AdminDependencies,
  wanted: string,
): Promise<{ id: string; jobs: InspectedJob[] }> {
  const id = messageIdOf(wanted);
  if (id !== undefined) return { id, jobs: await ask(inspector.find(id)) };
  if (!/^<.+>$/.test(wanted)) throw notFound(wanted);
  const found = await ask(inspector.find(wanted));
  const ids = [...new Set(found.map(({ job }) => job.id))];
  const [only, ...others] = ids;
  if (only === undefined) throw notFound(wanted);
  if (others.length > 0) {
    throw new Problem(409, `${ids.length} messages have the Message-ID ${wanted}: ${ids.join(", ")}`);
  }
  return { id: only, jobs: await ask(inspector.find(only)) };
}

/** The queue id in a job id, or the queue id itself. */
function messageIdOf(wanted: string): string | undefined {
  const id = parseDeliveryJobId(wanted)?.id ?? wanted;
  return isQueueId(id) ? id : undefined;
}

/** The header section; empty when the body is damaged, or went meanwhile. */
async function readHeader({ spool }: AdminDependencies, id: string, locator?: Locator): Promise<Buffer> {
  try {
    const found = await spool.read(id, locator);
    if (found !== undefined) return headerSection(await readStart(found.body, maxHeaderBytes));
  } catch (error) {
    if (!(error instanceof SpoolCorrupt)) throw error;
  }
  return Buffer.alloc(0);
}

async function readMessage({ spool }: AdminDependencies, id: string, jobs: readonly InspectedJob[]) {
  const found = await ask(spool.read(id, jobs[0]?.job.locator));
  if (found === undefined) throw notFound(id);
  return found;
}

function notFound(id: string): Problem {
  return new Problem(404, `No message has the id ${id}.`);
}
