/** The attempts at a message and the notifications about it, from its events. Pure. */
import { z } from "zod";
import type { StreamEvent } from "../../../shared/events/event.ts";
import { concerns } from "../../../shared/events/timeline.ts";

const timestamp = z.iso.datetime();

export const attemptView = z.object({
  at: timestamp,
  attempt: z.int().describe("1 for the first; of several recipients or next hops the same."),
  to: z.string(),
  outcome: z.enum(["delivered", "deferred", "rejected"]),
  nextHop: z.string().optional(),
  remote: z.string().optional().describe("`HOST[ADDRESS]:PORT`, of the server that was tried last."),
  status: z.string().optional().describe("Enhanced status code (RFC 3463)."),
  reason: z.string().optional().describe("Of a failure."),
  reply: z.string().optional(),
  tls: z.string().optional().describe("Protocol and policy: `TLSv1.3, dane`; `none, may` in clear text."),
  ms: z.number().optional().describe("How long the attempt took, in milliseconds."),
  nextAttemptAt: timestamp.optional(),
});
export const notificationView = z.object({
  at: timestamp,
  id: z.string().describe("Its queue id: what became of it stands there."),
  kind: z.string().describe("failed, delayed or succeeded."),
  to: z.string(),
  recipients: z.array(z.string()).describe("Which recipients it is about, the first hundred."),
});
export type AttemptView = z.infer<typeof attemptView>;
export type NotificationView = z.infer<typeof notificationView>;

const outcomes: Record<string, AttemptView["outcome"]> = {
  "delivery.delivered": "delivered",
  "delivery.deferred": "deferred",
  "delivery.rejected": "rejected",
};

/** @param events  oldest first; those of other messages are left out */
export function historyOf(
  id: string,
  events: readonly StreamEvent[],
): { attempts: AttemptView[]; notifications: NotificationView[] } {
  const own = events.filter((event) => event.id === id && concerns(event, id));
  return {
    attempts: own.flatMap(attemptOf),
    notifications: own.flatMap(notificationOf),
  };
}

function attemptOf(event: StreamEvent): AttemptView[] {
  const outcome = outcomes[event.event];
  if (outcome === undefined) return [];
  const tls = tlsText(event.tls);
  return [
    {
      at: iso(event.at),
      attempt: typeof event.attempt === "number" ? event.attempt : 1,
      to: String(event.to ?? ""),
      outcome,
      ...textFields(event, ["nextHop", "remote", "status", "reason", "reply", "nextAttemptAt"]),
      ...(tls === undefined ? {} : { tls }),
      ...(typeof event.ms === "number" ? { ms: event.ms } : {}),
    },
  ];
}

function notificationOf(event: StreamEvent): NotificationView[] {
  if (event.event !== "dsn.made" || typeof event.dsnId !== "string") return [];
  const recipients = Array.isArray(event.recipients) ? event.recipients.map(String) : [];
  return [
    {
      at: iso(event.at),
      id: event.dsnId,
      kind: String(event.kind ?? ""),
      to: String(event.to ?? ""),
      recipients,
    },
  ];
}

function textFields<K extends string>(event: StreamEvent, names: readonly K[]): Partial<Record<K, string>> {
  const given = names.filter((name) => typeof event[name] === "string").map((name) => [name, event[name]]);
  return Object.fromEntries(given) as Partial<Record<K, string>>;
}

function tlsText(tls: unknown): string | undefined {
  if (typeof tls !== "object" || tls === null) return undefined;
  const { protocol = "none", policy } = tls as Record<string, unknown>;
  return policy === undefined ? String(protocol) : `${protocol}, ${policy}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
