/** Requests of `postern queue` to the admin API, and their parsed responses. */
import type { Readable } from "node:stream";
import { z } from "zod";
import type { RowSort } from "../../../shared/queue/operator/row-order.ts";
import { type AdminClient, AdminRefused } from "../admin-api/admin-client.ts";
import { mailByStatus, queueCounts } from "../admin-api/queue-counts.ts";
import type { QueueFilter, Selection } from "./queue-selection.ts";

const row = z.object({
  id: z.string(),
  messageId: z.string().nullable(),
  from: z.string(),
  to: z.array(z.string()),
  route: z.string(),
  queue: z.enum(["delivery", "delivery-slow", "dead"]),
  status: z.enum(["waiting", "active", "deferred", "held", "dead"]),
  attempts: z.number(),
  nextAttemptAt: z.string().nullable(),
  receivedAt: z.string(),
  size: z.number(),
  reason: z.string().nullable(),
});
export type Row = z.infer<typeof row>;
const totals = z.object({ matched: z.number(), statuses: z.record(z.string(), z.number()) });
const page = z.object({
  messages: z.array(row),
  next: z.string().nullable(),
  // An admin of the version before has none.
  totals: totals.nullable().default(null),
});

export const reportSchema = z.object({
  matched: z.number(),
  changed: z.number(),
  skipped: z.array(z.object({ id: z.string(), reason: z.string() })),
  unknown: z.array(z.string()),
  underWay: z.array(z.string()).optional(),
  rule: z.string().nullable().optional(),
  task: z.string().nullable().optional(),
});
export type Report = z.infer<typeof reportSchema>;

const diagnosis = z.object({
  status: z.string(),
  reason: z.string(),
  reply: z
    .object({
      code: z.number(),
      lines: z.array(z.string()),
      command: z.string(),
      enhanced: z.string().optional(),
    })
    .optional(),
  remote: z.object({ host: z.string(), address: z.string(), port: z.number() }).optional(),
  at: z.string(),
});
const endpoint = z.object({ address: z.string(), port: z.number() });
/** Loose, so that `show --json` prints every field of the response. */
const detail = z.looseObject({
  id: z.string(),
  messageId: z.string().nullable(),
  receivedAt: z.string(),
  size: z.number(),
  envelope: z.looseObject({ from: z.string() }),
  origin: z
    .looseObject({
      client: endpoint,
      destination: endpoint,
      direction: z.string(),
      listener: z.string(),
      helo: z.string(),
      protocol: z.string(),
      user: z.string().optional(),
    })
    .nullable(),
  recipients: z.array(
    z.looseObject({ address: z.string(), state: z.string(), diagnosis: diagnosis.loose().optional() }),
  ),
  jobs: z.array(
    row
      .extend({
        lastAttemptAt: z.string().nullable(),
        givesUpAt: z.string().nullable().default(null),
        hold: z
          .object({ kind: z.string(), value: z.string(), reason: z.string(), until: z.string().nullable() })
          .nullable(),
      })
      .loose(),
  ),
  attempts: z
    .array(
      z.looseObject({
        at: z.string(),
        attempt: z.number(),
        to: z.string(),
        outcome: z.enum(["delivered", "deferred", "rejected"]),
        remote: z.string().optional(),
        reason: z.string().optional(),
        reply: z.string().optional(),
        tls: z.string().optional(),
        ms: z.number().optional(),
      }),
    )
    .default([]),
  notifications: z
    .array(z.looseObject({ at: z.string(), id: z.string(), kind: z.string(), to: z.string() }))
    .default([]),
  headers: z.string().nullable(),
});
export type Detail = z.infer<typeof detail>;

export const rowsPerPage = 1000;

const counts = z.object({ queues: z.array(queueCounts) });

/** All mail in the queues by status, whatever a list shows; without those that no mail has. */
export async function countMessages(client: AdminClient): Promise<Map<string, number>> {
  const { queues } = counts.parse(await client.get("/api/v1/queues"));
  return new Map([...mailByStatus(queues)].filter(([, count]) => count > 0));
}

/** Rows of a list, and how many match on all pages. */
export interface RowPage {
  rows: Row[];
  /** `null` when the admin does not know: it reads the queues for the first time, or they are too long for its memory. */
  totals: z.infer<typeof totals> | null;
}

/**
 * The rows that match, page by page; sorted, each page costs the admin a pass over all of them.
 * @param limit  rows at most
 */
export async function* listRows(
  client: AdminClient,
  filter: QueueFilter,
  limit = Number.POSITIVE_INFINITY,
  sort?: RowSort,
): AsyncGenerator<RowPage> {
  let left = limit;
  let cursor: string | null = null;
  do {
    const query: Record<string, string> = {
      ...(filter as Record<string, string>),
      limit: String(Math.min(left, rowsPerPage)),
      ...(sort === undefined ? {} : { sort }),
      ...(cursor === null ? {} : { cursor }),
    };
    const { messages, next, totals } = page.parse(await client.get("/api/v1/messages", query));
    left -= messages.length;
    cursor = next;
    if (messages.length > 0) yield { rows: messages, totals };
  } while (cursor !== null && left > 0);
}

/** @returns `undefined` when there is no such message */
export async function showMessage(client: AdminClient, id: string): Promise<Detail | undefined> {
  const answer = await unlessUnknown(client.get(messagePath(id)));
  return answer === undefined ? undefined : detail.parse(answer);
}

/** The octets as they were received. @returns `undefined` when there is no such message */
export function rawMessage(client: AdminClient, id: string): Promise<Readable | undefined> {
  return unlessUnknown(client.stream(`${messagePath(id)}/raw`));
}

async function unlessUnknown<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof AdminRefused && error.status === 404) return undefined;
    throw error;
  }
}

/** What a change would do. */
export async function countChange(
  client: AdminClient,
  action: string,
  body: Record<string, unknown>,
): Promise<Report> {
  return reportSchema.parse(await client.post(`/api/v1/messages/${action}`, { ...body, dryRun: true }));
}

function messagePath(id: string): string {
  return `/api/v1/messages/${encodeURIComponent(id)}`;
}

/**
 * The queue ids of the selected messages, each once. Given queue ids are not looked up.
 * @returns also the Message-IDs that no message in the queues has
 */
export async function messagesOf(
  client: AdminClient,
  selection: Selection,
): Promise<{ ids: string[]; unknown: string[] }> {
  const ids = new Set<string>();
  const unknown: string[] = [];
  const addMatching = async (filter: QueueFilter): Promise<boolean> => {
    let any = false;
    for await (const { rows } of listRows(client, filter)) {
      any = true;
      for (const { id } of rows) ids.add(queueIdOf(id));
    }
    return any;
  };
  if (selection.kind !== "ids") {
    await addMatching(selection.kind === "filter" ? selection.filter : {});
    return { ids: [...ids], unknown };
  }
  for (const id of selection.ids) {
    if (!id.startsWith("<")) ids.add(queueIdOf(id));
    else if (!(await addMatching({ messageId: id }))) unknown.push(id);
  }
  return { ids: [...ids], unknown };
}

/** A job id is the queue id of its message, a dash, and a number. */
function queueIdOf(jobId: string): string {
  return jobId.replace(/-\d+$/, "");
}
