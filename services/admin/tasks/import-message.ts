/** Puts a message into the spool and the queue: one that was exported, or comes from another system. */
import { createHash } from "node:crypto";
import { HeaderScan } from "../../../shared/mail/headers.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { chooseShard, makeQueueId } from "../../../shared/mail/queue-id.ts";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { groupByNextHop, summarizeRoute } from "../../../shared/routing/route.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import { queuePrefix } from "../../../shared/runtime/redis.ts";
import type { TaskDeps } from "./task-deps.ts";

/** How long an id is known. */
const rememberSeconds = 30 * 86_400;

export interface ImportedMail {
  /** The same id is imported once; absent: it follows from envelope and message. */
  id?: string | undefined;
  /** Empty for the null sender. */
  from: string;
  /** At least one. */
  to: string[];
  octets: Buffer;
}

/** The message cannot be taken, now or later. */
export class ImportRefused extends Error {
  override name = "ImportRefused";
  readonly isTooLarge: boolean;

  constructor(reason: string, isTooLarge = false) {
    super(reason);
    this.isTooLarge = isTooLarge;
  }
}

/**
 * Stores the message and schedules it; repeated, it does nothing.
 * @throws ImportRefused, Error of the spool or of Redis
 */
export async function importMessage(
  deps: TaskDeps,
  mail: ImportedMail,
  actor: { by: string; client: string },
): Promise<{ id: string; status: "queued" | "known" }> {
  const octets = withCrlf(mail.octets);
  const { from } = mail;
  const to = [...new Set(mail.to)];
  refuseTooMuch(deps, octets, to);
  const named = mail.id === undefined ? [from, ...to, octets] : [];
  const key = `${queuePrefix}:import:${digest([mail.id ?? "", ...named]).toString("hex")}`;
  const { id, isKnown } = await claimId(deps, key);
  if (isKnown) return { id, status: "known" };
  const { meta, routes } = metaOf(id, deps, { from, to }, octets);
  await store(deps, meta, routes, octets);
  await deps.redis.set(key, `${id} stored`, "EX", rememberSeconds);
  const { messageId } = meta;
  logEvent(deps.log, {
    event: "message.accepted",
    id,
    ...actor,
    imported: true,
    from,
    to,
    size: octets.length,
    ...(messageId === undefined ? {} : { messageId }),
  });
  return { id, status: "queued" };
}

/** @throws ImportRefused */
export function refuseTooMuch(
  { config: { limits } }: Pick<TaskDeps, "config">,
  octets: Buffer,
  to: readonly string[],
): void {
  if (octets.length > limits.message)
    throw new ImportRefused(`The message has more than ${limits.message} octets.`, true);
  if (to.length > limits.recipients)
    throw new ImportRefused(`A message has ${limits.recipients} recipients at most.`);
}

/** A crash between the claim and the record leaves a claim without a message: the next import takes its id. */
async function claimId(
  { redis, spool, config, now }: TaskDeps,
  key: string,
): Promise<{ id: string; isKnown: boolean }> {
  const nowMs = now();
  const random = digest([key, String(nowMs)]);
  const fresh = makeQueueId(nowMs, random, chooseShard(random, config.queue.shards));
  await redis.set(key, fresh, "EX", rememberSeconds, "NX");
  const [id = fresh, state] = ((await redis.get(key)) ?? fresh).split(" ");
  const isKnown = state === "stored" || (id !== fresh && (await spool.readMeta(id)) !== undefined);
  return { id, isKnown };
}

function metaOf(
  id: string,
  { config, now }: TaskDeps,
  { from, to }: { from: string; to: string[] },
  octets: Buffer,
) {
  const routing = compileRouting(config);
  const groups = groupByNextHop(to.map((address) => routing.routeRecipient(null, from, address)));
  const headers = new HeaderScan();
  headers.push(octets);
  if (headers.receivedFields > config.limits.hops)
    throw new ImportRefused(
      `The message has more than ${config.limits.hops} Received fields: it has gone round in circles.`,
    );
  const meta: MessageMeta = {
    version: 1,
    id,
    receivedAtMs: now(),
    envelope: { reversePath: from, recipients: to.map((address) => ({ address })) },
    origin: null,
    received: "",
    ...(headers.messageId === undefined ? {} : { messageId: headers.messageId }),
    size: octets.length,
    has8bit: octets.some((octet) => octet > 127),
    parts: groups.map(({ recipients }) => recipients),
  };
  return { meta, routes: groups.map(({ route }) => summarizeRoute(route)) };
}

/** When Redis fails after the record is stored, the reconciler schedules the message. */
async function store(
  { spool, producer, log }: TaskDeps,
  meta: MessageMeta,
  routes: ReturnType<typeof summarizeRoute>[],
  octets: Buffer,
): Promise<void> {
  const draft = spool.draft();
  try {
    await draft.write(octets);
    const message = await draft.commit(meta);
    await producer.addDeliveries([{ message, routes }]).catch((err: unknown) => {
      log.warn({ id: meta.id, err }, "an imported message waits for the reconciler to enqueue it");
    });
  } finally {
    await draft.discard();
  }
}

/** RFC 5321 §2.3.8: lines end in CRLF, and bare CR and LF are not sent. */
function withCrlf(octets: Buffer): Buffer {
  const text = octets.toString("latin1").replaceAll(/\r\n|\r|\n/g, "\r\n");
  return Buffer.from(text.endsWith("\r\n") ? text : `${text}\r\n`, "latin1");
}

function digest(parts: readonly (string | Buffer)[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest();
}
