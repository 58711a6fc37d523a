/** The SMTP client for tests, and messages that are made in one line. */
import type { z } from "zod";
import type { configSchema } from "../../shared/config/schema.ts";
import type { PriorityClass } from "../../shared/limits/priority-class.ts";
import type { Envelope } from "../../shared/mail/envelope.ts";
import type { MessageMeta } from "../../shared/mail/message.ts";
import type { HostPort } from "../../shared/net/endpoint.ts";
import type { NextHop } from "../../shared/routing/next-hop.ts";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import {
  type ConfiguredSmtpClient,
  createSmtpClient,
  type SmtpClientOptions,
} from "../../shared/smtp-client/create-smtp-client.ts";
import { createResolver } from "../../shared/smtp-client/dns/resolver.ts";
import type { AttemptResult, SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import type { Body } from "../../shared/spool/spool.ts";
import { testConfig } from "./config.ts";

type Given = Partial<z.input<typeof configSchema>>;

export interface TransportSettings {
  config?: Given;
  options?: SmtpClientOptions;
  /** The address of the name server, `server` of a DNS zone. A test that waits for it to be given up sets the time. */
  dns?: { port: number; timeoutMs?: number };
}

/** No test waits for these but the last: a slow machine must not end what goes well. Who waits for one sets it. */
const timeouts = {
  connect: "60s",
  greeting: "60s",
  ehlo: "60s",
  mail: "60s",
  rcpt: "60s",
  data: "60s",
  body: "60s",
  dot: "60s",
  quit: "500ms",
};

export function testTransport(settings: TransportSettings = {}): ConfiguredSmtpClient {
  const config = testConfig({
    ...settings.config,
    delivery: { loopback: "allow", ...settings.config?.delivery },
    timeouts: { ...timeouts, ...settings.config?.timeouts },
  });
  const servers = [{ host: "127.0.0.1", port: settings.dns?.port ?? 9 }];
  const resolver = createResolver({ servers, timeoutMs: settings.dns?.timeoutMs ?? 10_000 });
  return createSmtpClient(config, { resolver, random: () => 0, ...settings.options });
}

export interface MessageGiven extends Partial<Omit<Envelope, "recipients">> {
  /** Addresses, or whole recipients. */
  to?: (string | Envelope["recipients"][number])[];
  content?: string | Buffer;
  helo?: string;
  /** The header said `TLS-Required: No`. */
  tlsOptional?: true;
}

export const receivedField =
  "Received: from client.test ([192.0.2.7])\r\n\tby gw.example.net with ESMTP id 0TEST; Mon, 1 Jan 2024 00:00:00 +0000\r\n";

export function testMessage(given: MessageGiven = {}): { meta: MessageMeta; body: Body } {
  const { to = ["bob@example.org"], content, helo, tlsOptional, ...envelope } = given;
  const text = content ?? "Subject: test\r\n\r\nHello.\r\n";
  const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  const recipients = to.map((entry) => (typeof entry === "string" ? { address: entry } : entry));
  const connection = {
    id: "c1",
    listener: "submission",
    client: { address: "192.0.2.7", port: 40_000 },
    destination: { address: "192.0.2.1", port: 25 },
    direction: "local" as const,
  };
  const meta: MessageMeta = {
    version: 1,
    id: "0TEST0000000000000",
    receivedAtMs: 1_700_000_000_000,
    envelope: { reversePath: "alice@example.com", ...envelope, recipients },
    origin: helo === undefined ? null : { connection, helo, protocol: "ESMTP" },
    received: receivedField,
    ...(tlsOptional === undefined ? {} : { tlsOptional }),
    size: bytes.length,
    has8bit: bytes.some((octet) => octet > 127),
    parts: [recipients.map((_, index) => index)],
  };
  return { meta, body: { kind: "buffer", bytes } };
}

/** Makes one attempt for all recipients. */
export async function attempt(
  transport: SmtpClient,
  nextHop: NextHop,
  { meta, body }: { meta: MessageMeta; body: Body } = testMessage(),
  signal = new AbortController().signal,
  priorityClass?: PriorityClass,
): Promise<AttemptResult> {
  const recipients = meta.envelope.recipients.map((_, index) => index);
  return transport.attempt({
    nextHop,
    message: meta,
    recipients,
    body,
    signal,
    ...(priorityClass && { priorityClass }),
  });
}

/** @throws Error when the attempt was not made */
export async function outcomes(...given: Parameters<typeof attempt>): Promise<Outcome[]> {
  const result = await attempt(...given);
  if (result.kind !== "tried") throw new Error(`not tried: ${result.reason}`);
  return [...result.outcomes].sort(([a], [b]) => a - b).map(([, outcome]) => outcome);
}

/** The outcome as short text: `delivered`, or `deferred 4.4.1 connect`. */
export function summary(outcome: Outcome | undefined): string {
  if (outcome === undefined) return "none";
  if (outcome.kind === "delivered") return "delivered";
  const { status, class: failure } = outcome.diagnosis;
  return `${outcome.kind} ${status} ${failure}`;
}

export function via({ address, port }: { address: string; port: number }): NextHop {
  return { kind: "host", host: { host: address, port } };
}

export function servers(...list: { address: string; port: number }[]): Extract<NextHop, { kind: "servers" }> {
  const hosts: HostPort[] = list.map(({ address, port }) => ({ host: address, port }));
  return { kind: "servers", servers: hosts, hide: false };
}

export function relay(
  { address, port }: { address: string; port: number },
  more: Partial<Extract<NextHop, { kind: "relay" }>["relay"]> = {},
): NextHop {
  return { kind: "relay", relay: { name: "isp", host: address, port, tls: "may", ...more } };
}
