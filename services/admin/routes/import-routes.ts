/** The route that puts a message in the queue again, through the spool: one that was exported, or comes from another system. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { HeaderScan } from "../../../shared/mail/headers.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { makeQueueId } from "../../../shared/mail/queue-id.ts";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { groupByNextHop, summarizeRoute } from "../../../shared/routing/route.ts";
import { logEvent } from "../../../shared/runtime/log.ts";
import { queuePrefix } from "../../../shared/runtime/redis.ts";
import { actorOf } from "./actor.ts";
import { type AdminDependencies, ask } from "./dependencies.ts";
import { mailbox } from "./mailbox.ts";
import { Problem } from "./problem.ts";
import { defineRoute, type Route } from "./route.ts";

/** JSON with the message in base64. */
const bodyLimit = 100 * 1024 * 1024;
/** How long an id is known. */
const rememberSeconds = 30 * 86_400;

const importBody = z.strictObject({
  from: z
    .union([z.enum(["", "<>"]).transform(() => ""), mailbox])
    .meta({ jsonSchema: { type: "string" }, description: "The reverse-path; empty for <>." }),
  to: z
    .array(mailbox.meta({ jsonSchema: { type: "string" } }))
    .min(1)
    .max(10_000),
  message: z.base64().min(1).describe("Header section and body, base64. Line ends become CRLF."),
  id: z
    .string()
    .regex(/^[\w.@<>+=-]{1,200}$/)
    .optional()
    .describe("The same id is imported once; absent: it follows from envelope and message."),
});
const importReport = z.object({
  id: z.string().describe("Its queue id."),
  status: z.enum(["queued", "known"]).describe("known: it was imported before, and nothing was done."),
});

export function importRoutes(deps: AdminDependencies): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/messages",
      operationId: "importMessage",
      summary: "Stores a message in the spool and schedules it; repeated with the same id, it does nothing",
      access: "write",
      bodyLimit,
      body: importBody,
      responses: { 200: { description: "It is on stable storage.", schema: importReport } },
      async handle({ body, request }) {
        const octets = withCrlf(Buffer.from(body.message, "base64"));
        const { limits } = deps.config;
        if (octets.length > limits.message)
          throw new Problem(413, `The message has more than ${limits.message} octets.`);
        if (body.to.length > limits.recipients)
          throw new Problem(400, `A message has ${limits.recipients} recipients at most.`);
        const to = [...new Set(body.to)];
        const key = `${queuePrefix}:import:${digest([body.id ?? "", ...(body.id === undefined ? [body.from, ...to, octets] : [])]).toString("hex")}`;
        const { id, isKnown } = await ask(claimId(deps, key));
        if (isKnown) return { id, status: "known" as const };
        const meta = metaOf(id, deps, { from: body.from, to }, octets);
        await ask(store(deps, meta.meta, meta.routes, octets));
        await ask(deps.redis.set(key, `${id} stored`, "EX", rememberSeconds));
        const { messageId } = meta.meta;
        logEvent(deps.log, {
          event: "message.accepted",
          id,
          ...actorOf(request),
          imported: true,
          from: body.from,
          to,
          size: octets.length,
          ...(messageId === undefined ? {} : { messageId }),
        });
        return { id, status: "queued" as const };
      },
    }),
  ];
}

/** A crash between the claim and the record leaves a claim without a message: the next import takes its id. */
async function claimId(
  { redis, spool, now }: AdminDependencies,
  key: string,
): Promise<{ id: string; isKnown: boolean }> {
  const nowMs = now();
  const fresh = makeQueueId(nowMs, digest([key, String(nowMs)]));
  await redis.set(key, fresh, "EX", rememberSeconds, "NX");
  const [id = fresh, state] = ((await redis.get(key)) ?? fresh).split(" ");
  const isKnown = state === "stored" || (id !== fresh && (await spool.readMeta(id)) !== undefined);
  return { id, isKnown };
}

function metaOf(
  id: string,
  { config, now }: AdminDependencies,
  { from, to }: { from: string; to: string[] },
  octets: Buffer,
) {
  const routing = compileRouting(config);
  const groups = groupByNextHop(to.map((address) => routing.routeRecipient(null, from, address)));
  const headers = new HeaderScan();
  headers.push(octets);
  if (headers.receivedFields > config.limits.hops)
    throw new Problem(
      400,
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
  { spool, producer, log }: AdminDependencies,
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
