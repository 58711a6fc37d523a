/**
 * The request to read the configuration again, to every process on every host: a key in Redis that each process reads
 * when it announces itself, once a second. Its announcement then says what became of it.
 */
import { z } from "zod";
import { queuePrefix } from "./redis.ts";

const requestSchema = z.object({
  id: z.string(),
  phase: z.enum(["check", "take"]),
  /** Epoch milliseconds. */
  atMs: z.number(),
});
export type ReloadRequest = z.infer<typeof requestSchema>;

export const reloadKey = `${queuePrefix}:reload`;

/** A clock of another host may be behind ours by this much. */
const clockSkewMs = 60_000;

/** @returns the request that has come since this process has read its configuration, unless it is one that it knows */
export function newRequest(
  text: unknown,
  known: ReloadRequest | undefined,
  loadedAtMs: number,
): ReloadRequest | undefined {
  if (typeof text !== "string") return undefined;
  const parsed = requestSchema.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const request = parsed.data;
  if (request.id === known?.id && request.phase === known.phase) return undefined;
  return request.atMs < loadedAtMs - clockSkewMs ? undefined : request;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
