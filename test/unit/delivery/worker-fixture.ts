/** A delivery worker whose surroundings are plain values: one message, what servers will answer, what was recorded and enqueued, in order. */
import { pino } from "pino";
import { createDeliveryMetrics } from "../../../services/delivery/delivery-metrics.ts";
import type { DeliveryGroup, LoadedJob, Router } from "../../../services/delivery/plan.ts";
import { createDeliveryWorker } from "../../../services/delivery/worker.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import type { BounceJob, DeliveryJob } from "../../../shared/queue/contract/contract.ts";
import type { DeadJob } from "../../../shared/queue/contract/dead-job.ts";
import type { JobNext } from "../../../shared/queue/contract/queue.ts";
import type { Diagnosis, Outcome } from "../../../shared/smtp/diagnosis.ts";
import type { AttemptRequest, AttemptResult } from "../../../shared/smtp-client/smtp-client.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { Settlement } from "../../../shared/spool/spool.ts";
import { testConfig } from "../../support/config.ts";

export const receivedAtMs = 1_800_000_000_000;
const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };

export function delivered(over: Partial<Outcome & { kind: "delivered" }> = {}): Outcome {
  const reply = { code: 250, lines: ["ok"], command: "DOT" as const };
  return { kind: "delivered", reply, remote, dsnPassedOn: false, ...over };
}
export function busy(text = "try later"): Diagnosis {
  const reply = { code: 451, lines: [text], command: "RCPT" as const };
  return { status: "4.0.0", class: "4xx", reason: text, reply, remote, atMs: receivedAtMs };
}
export function refusal(): Diagnosis {
  const reply = { code: 550, lines: ["no such user"], command: "RCPT" as const };
  return { status: "5.1.1", class: "5xx", reason: "no such user", reply, remote, atMs: receivedAtMs };
}
export function deferred(text?: string): Outcome {
  return { kind: "deferred", diagnosis: busy(text) };
}
export function rejected(): Outcome {
  return { kind: "rejected", diagnosis: refusal() };
}

/** The outcome for one address, or for all (`*`); or the result of the whole attempt. */
type Answers =
  | Record<string, Outcome>
  | ((request: AttemptRequest) => AttemptResult | Promise<AttemptResult>);

export interface Given {
  config?: Partial<Parameters<typeof testConfig>[0]>;
  envelope?: Partial<Envelope>;
  parts?: number[][];
  answers?: Answers;
  job?: Partial<DeliveryJob>;
  states?: [number, RecipientState][];
  /** States that others record during the run. */
  statesNow?: ReadonlyMap<number, RecipientState>;
  router?: Partial<Router>;
  /** Milliseconds since the message was received. */
  ageMs?: number;
  mayHaveRun?: boolean;
  signal?: AbortSignal;
  /** The step with this name fails once, as if the process had ended before it. */
  failsAt?: string;
  readMeta?: () => Promise<MessageMeta | undefined>;
  read?: () => Promise<{ meta: MessageMeta; body: { kind: "buffer"; bytes: Buffer } } | undefined>;
}

export interface Ran {
  next: JobNext | undefined;
  error: unknown;
  /** Everything that happened outside of the worker, in order. */
  steps: string[];
  attempts: AttemptRequest[];
  settled: Settlement[];
  states: Map<number, RecipientState>;
  bounces: { job: BounceJob; delayMs: number }[];
  dead: DeadJob[];
  events: Record<string, unknown>[];
}

function metaOf(given: Given): MessageMeta {
  const recipients = given.envelope?.recipients ?? [{ address: "bob@example.com" }];
  return {
    version: 1,
    id: "1HZ8C4S30ABCDEFGHJ",
    receivedAtMs,
    envelope: { reversePath: "alice@example.org", ...given.envelope, recipients },
    origin: null,
    received: "",
    size: 12,
    has8bit: false,
    parts: given.parts ?? [recipients.map((_, index) => index)],
  };
}

function jobOf(given: Given, meta: MessageMeta): DeliveryJob {
  return {
    version: 1,
    id: meta.id,
    part: 0,
    locator: { segment: "s", offset: 0, length: 10, checksum: 1 },
    from: meta.envelope.reversePath,
    to: meta.envelope.recipients.map(({ address }) => address),
    route: "",
    size: meta.size,
    receivedAtMs,
    ...given.job,
  };
}

/** The job with its message, as the worker has it after its look into the spool. */
export function loadedJob(given: Given = {}): LoadedJob {
  const meta = metaOf(given);
  const job = jobOf(given, meta);
  return {
    task: { jobId: `${job.id}-${job.part}`, queue: "delivery", job, signal: new AbortController().signal },
    meta,
    body: { kind: "buffer", bytes: Buffer.from("Subject: hi\r\n") },
    recipients: meta.parts[job.part] ?? [],
    sinceMs: receivedAtMs,
  };
}

export async function runJob(given: Given): Promise<Ran> {
  const config: Config = testConfig(given.config);
  const meta = metaOf(given);
  const nowMs = receivedAtMs + (given.ageMs ?? 1000);
  const states = new Map(given.states);
  const ran: Ran = {
    next: undefined,
    error: undefined,
    steps: [],
    attempts: [],
    settled: [],
    states,
    bounces: [],
    dead: [],
    events: [],
  };
  let failsAt = given.failsAt;
  const step = (name: string): void => {
    ran.steps.push(name);
    if (name !== failsAt) return;
    failsAt = undefined;
    throw new Error(`ended at ${name}`);
  };
  const answers = given.answers ?? {};
  const handle = createDeliveryWorker({
    config,
    log: pino({}, { write: (line: string) => void ran.events.push(JSON.parse(line)) }),
    metrics: createDeliveryMetrics(),
    spool: {
      async read() {
        if (given.read) return given.read();
        return { meta, body: { kind: "buffer", bytes: Buffer.from("Subject: hi\r\n") } };
      },
      async readMeta() {
        return given.readMeta === undefined ? meta : given.readMeta();
      },
      async states(_id, fresh) {
        ran.steps.push(fresh ? "states fresh" : "states");
        return new Map([...states, ...(given.statesNow ?? [])]);
      },
      async recordSettlements() {
        step("settle again");
      },
      async settle(settlements) {
        step("settle");
        ran.settled.push(...settlements);
        for (const { recipients, state } of settlements)
          for (const index of recipients) states.set(index, state);
      },
    },
    producer: {
      async addBounce(job, delayMs) {
        step(`bounce ${job.kind}`);
        ran.bounces.push({ job, delayMs });
      },
      async addDead(job) {
        step("dead");
        ran.dead.push(job);
      },
    },
    smtpClient: {
      async attempt(request) {
        step("attempt");
        ran.attempts.push(request);
        request.begun?.();
        if (typeof answers === "function") return answers(request);
        const outcomes = new Map<number, Outcome>();
        for (const index of request.recipients) {
          const address = meta.envelope.recipients[index]?.address ?? "";
          outcomes.set(index, answers[address] ?? answers["*"] ?? delivered());
        }
        return { kind: "tried", outcomes, facts: { destination: "example.com", tries: [], durationMs: 3 } };
      },
    },
    router: {
      route: (of, index) => ({
        row: "relay",
        nextHop: { kind: "mx", domain: of.envelope.recipients[index]?.address.split("@")[1] ?? "" },
      }),
      backup: () => undefined,
      via: () => undefined,
      ...given.router,
    },
    now: () => nowMs,
    jitter: () => 0.5,
  });
  const job = jobOf(given, meta);
  try {
    ran.next = await handle({
      jobId: `${job.id}-${job.part}`,
      queue: "delivery",
      job,
      signal: given.signal ?? new AbortController().signal,
      ...(given.mayHaveRun === undefined ? {} : { mayHaveRun: given.mayHaveRun }),
    });
  } catch (error) {
    ran.error = error;
  }
  return ran;
}

export function eventsOf(ran: Ran): string[] {
  return ran.events.flatMap(({ event }) => (typeof event === "string" ? [event] : []));
}

/** Recipients of one next hop, without a backup. */
export function groupOf(recipients: number[]): DeliveryGroup {
  return { row: "relay", nextHop: { kind: "mx", domain: "example.com" }, recipients, withoutBackup: true };
}
