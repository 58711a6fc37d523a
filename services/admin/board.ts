/** Bull Board under /queues, read-only: changes go through the API, which settles recipients in the spool first. */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { FastifyAdapter } from "@bull-board/fastify";
import type { FastifyInstance } from "fastify";
import type { BoardQueues } from "../../shared/queue/bullmq/board.ts";
import type { QueueName } from "../../shared/queue/contract/contract.ts";

const boardPath = "/queues";

const descriptions: Record<QueueName, string> = {
  delivery: "Mail on its way: waiting, active, or delayed until the next attempt",
  "delivery-slow": "Mail that failed several times; a held message is delayed until someone releases it",
  bounce: "Delivery status notifications to be made",
  dead: "Messages that could be neither delivered nor returned; no worker takes them",
};

export async function mountBoard(app: FastifyInstance, board: BoardQueues): Promise<void> {
  const serverAdapter = new FastifyAdapter();
  serverAdapter.setBasePath(boardPath);
  const { replaceQueues } = createBullBoard({
    queues: adaptersOf(board),
    serverAdapter,
    // `dead` has no workers on purpose; the state of the services is on the dashboard.
    // It follows the browser's light or dark, as the dashboard does.
    options: {
      uiConfig: {
        boardTitle: "Postern",
        showWorkers: false,
        hideDocsLink: true,
        miscLinks: [{ text: "Dashboard", url: "/" }],
      },
    },
  });
  board.onChange(() => replaceQueues(adaptersOf(board)));
  await app.register(async (scope) => {
    scope.addHook("onSend", async (_request, _reply, payload) => withoutForeignLinks(payload));
    await scope.register(serverAdapter.registerPlugin(), { prefix: boardPath });
  });
}

/** Its page links to fonts of another site, which our content security policy refuses anyway. */
function withoutForeignLinks(payload: unknown): unknown {
  return typeof payload === "string" && payload.startsWith("<!DOCTYPE html>")
    ? payload.replaceAll(/<link\b[^>]*\bhref="https:\/\/[^>]*>/g, "")
    : payload;
}

/** With several shards the name of a queue says which one it is in. */
function adaptersOf(board: BoardQueues): BullMQAdapter[] {
  return board.queues.map((queue) => {
    const shard = board.shardOf(queue).replace(/[{}]/g, "");
    const adapter = new BullMQAdapter(queue, {
      readOnlyMode: true,
      description: descriptions[queue.name as QueueName],
      ...(shard === "" ? {} : { prefix: `${shard}-` }),
    });
    adapter.setFormatter("name", ({ data, name }) => jobTitle(data, name));
    return adapter;
  });
}

/** The title of a job: sender and recipients, since all jobs of a queue have the same name. */
function jobTitle(data: unknown, name: string): string {
  const job = (data as { job?: unknown } | null)?.job ?? data;
  const { from, to, kind, id } = (job ?? {}) as Record<string, unknown>;
  if (Array.isArray(to)) {
    const more = to.length > 1 ? ` and ${to.length - 1} more` : "";
    return `${from === "" ? "<>" : String(from)} → ${String(to[0])}${more}`;
  }
  return typeof kind === "string" ? `${kind}: ${String(id)}` : name;
}
