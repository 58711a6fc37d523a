/** Bull Board under /queues, to look only: changes go through the API, which settles in the spool first. */
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
  bounce: "Delivery status notifications to make",
  dead: "Neither deliverable nor returnable; nobody consumes it",
};

export async function mountBoard(app: FastifyInstance, board: BoardQueues): Promise<void> {
  const serverAdapter = new FastifyAdapter();
  serverAdapter.setBasePath(boardPath);
  const queues = board.queues.map((queue) => {
    const adapter = new BullMQAdapter(queue, {
      readOnlyMode: true,
      description: descriptions[queue.name as QueueName],
    });
    adapter.setFormatter("name", ({ data, name }) => jobTitle(data, name));
    return adapter;
  });
  createBullBoard({
    queues,
    serverAdapter,
    // `dead` has no workers on purpose, and the others' state stands on the start page.
    options: { uiConfig: { boardTitle: "Postern", showWorkers: false } },
  });
  await app.register(serverAdapter.registerPlugin(), { prefix: boardPath });
}

/** Jobs all have one name; who writes to whom tells more. */
function jobTitle(data: unknown, name: string): string {
  const job = (data as { job?: unknown } | null)?.job ?? data;
  const { from, to, kind, id } = (job ?? {}) as Record<string, unknown>;
  if (Array.isArray(to)) {
    const more = to.length > 1 ? ` and ${to.length - 1} more` : "";
    return `${from === "" ? "<>" : String(from)} → ${String(to[0])}${more}`;
  }
  return typeof kind === "string" ? `${kind}: ${String(id)}` : name;
}
