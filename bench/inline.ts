/** Inline delivery to a protected server, beside Postfix that queues and relays to a server of the same kind. */
import { type AimedLoad, againstPostfix } from "./end-to-end.ts";
import type { BenchOptions } from "./options.ts";
import type { PosternOptions } from "./peers/postern.ts";
import type { Section } from "./report.ts";

const loads: AimedLoad[] = [
  { name: "4 KiB, 1 session, inline", sessions: 1, messages: 1000, bytes: 4096, reuse: true },
  {
    name: "4 KiB, 20 sessions, inline",
    sessions: 20,
    messages: 10_000,
    bytes: 4096,
    reuse: true,
    target: 4.0,
  },
];

/**
 * All the load comes from one client, of whom a server takes eight deliveries at once by default (two fifths of its 20
 * connections): here as many as the client has sessions.
 */
export function inlineConfig(server: string): PosternOptions["config"] {
  return {
    protected: [{ domains: ["example.com"], servers: [server], inline: true }],
    limits: { clients: { connections: 1000 }, destinations: [{ match: "*", connections: 60 }] },
  };
}

export function inline(options: BenchOptions): Promise<Section> {
  return againstPostfix(
    "Inline delivery against Postfix",
    "To a protected server with `inline: true`: its 250 is the client's. Postfix queues and relays, as in the table above. The server takes " +
      "60 connections, of which one client may have 24.",
    loads,
    inlineConfig,
    options,
  );
}
