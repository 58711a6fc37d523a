/** The admin API of the gateway under test, for operators and for the end of the run. */
import { adminToken } from "../gateway/config.ts";

export interface QueueRow {
  id: string;
  from: string;
  to: string[];
  status: "waiting" | "active" | "deferred" | "held" | "dead";
  reason: string | null;
}

export class AdminApi {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** @throws Error when the admin does not answer, or answers with an error */
  async #ask(path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(`${this.#url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text.slice(0, 200)}`);
    return JSON.parse(text);
  }

  change(action: string, body: object): Promise<unknown> {
    return this.#ask(`/api/v1/messages/${action}`, body);
  }

  async rows(): Promise<QueueRow[]> {
    const rows: QueueRow[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = (await this.#ask(`/api/v1/messages?limit=1000${query}`)) as {
        messages: QueueRow[];
        next: string | null;
      };
      rows.push(...page.messages);
      cursor = page.next;
    } while (cursor !== null);
    return rows;
  }

  /** Jobs of notifications that are still to be written. */
  async pendingNotifications(): Promise<number> {
    const { queues } = (await this.#ask("/api/v1/queues")) as {
      queues: { name: string; waiting: number; active: number; deferred: number; held: number }[];
    };
    const bounce = queues.find(({ name }) => name === "bounce");
    return bounce === undefined ? 0 : bounce.waiting + bounce.active + bounce.deferred + bounce.held;
  }
}
