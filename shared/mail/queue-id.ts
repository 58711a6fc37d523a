/** Queue ids: unique without coordination, sortable by time, safe in SMTP replies, file names and job ids. */

/** Crockford's base 32 without I, L, O, U, which are easily confused when read aloud. */
export const queueIdDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Shards that a queue id can name. */
export const maxShards = queueIdDigits.length;

/**
 * 18 characters: 9 of epoch milliseconds (until the year 3084), 9 of randomness (45 bits). Of a message whose jobs are in a
 * shard of the queues a 19th names the shard: every process knows from the id where its jobs are, however many shards it is
 * configured with itself (docs/decisions/0010-shards.md).
 * @param nowMs   epoch milliseconds
 * @param random  at least 9 random octets
 * @param shard   0 to maxShards - 1; absent: its jobs are in no shard
 */
export function makeQueueId(nowMs: number, random: Uint8Array, shard?: number): string {
  let id = "";
  let rest = nowMs;
  for (let i = 0; i < 9; i++) {
    id = queueIdDigits.charAt(rest % 32) + id;
    rest = Math.floor(rest / 32);
  }
  for (let i = 0; i < 9; i++) id += queueIdDigits.charAt((random[i] ?? 0) & 31);
  return shard === undefined ? id : id + queueIdDigits.charAt(shard);
}

/**
 * The shard of a new message, by its random octets.
 * @param shards  how many there are, 1 to maxShards
 * @returns `undefined` for a single one
 */
export function chooseShard(random: Uint8Array, shards: number): number | undefined {
  if (shards <= 1) return undefined;
  const number = (random[0] ?? 0) * 2 ** 16 + (random[1] ?? 0) * 2 ** 8 + (random[2] ?? 0);
  return number % shards;
}

/** The shard that a queue id, or a job id that begins with one, names. @returns `undefined` for all other ids */
export function shardOfId(id: string): number | undefined {
  const shard = /^[0-9A-HJKMNP-TV-Z]{18}([0-9A-HJKMNP-TV-Z])(?:-|$)/.exec(id)?.[1];
  return shard === undefined ? undefined : queueIdDigits.indexOf(shard);
}

/** The time that a queue id, or a job id that begins with one, was made. @returns epoch milliseconds */
export function queueIdTimeMs(id: string): number {
  let ms = 0;
  for (const character of id.slice(0, 9)) ms = ms * 32 + Math.max(0, queueIdDigits.indexOf(character));
  return ms;
}

export function isQueueId(text: string): boolean {
  return /^[0-9A-HJKMNP-TV-Z]{18,19}$/.test(text);
}

/** Ids become file names, hence no dots or slashes, and a limit. Operators type ids, so Spool.read() checks them too. */
export function isFileSafeId(id: string): boolean {
  return /^[\w-]{1,64}$/.test(id);
}
