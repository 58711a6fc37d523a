/** Queue ids: unique without coordination, sortable by time, safe in SMTP replies, file names and job ids. */

/** Crockford's base 32 without I, L, O, U, which are easily confused when read aloud. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/**
 * 18 characters: 9 of epoch milliseconds (until the year 3084), 9 of randomness (45 bits).
 * @param nowMs   epoch milliseconds
 * @param random  at least 9 random octets
 */
export function makeQueueId(nowMs: number, random: Uint8Array): string {
  let id = "";
  let rest = nowMs;
  for (let i = 0; i < 9; i++) {
    id = alphabet.charAt(rest % 32) + id;
    rest = Math.floor(rest / 32);
  }
  for (let i = 0; i < 9; i++) id += alphabet.charAt((random[i] ?? 0) & 31);
  return id;
}

/** The time that a queue id, or a job id that begins with one, was made. @returns epoch milliseconds */
export function queueIdTimeMs(id: string): number {
  let ms = 0;
  for (const character of id.slice(0, 9)) ms = ms * 32 + Math.max(0, alphabet.indexOf(character));
  return ms;
}

export function isQueueId(text: string): boolean {
  return /^[0-9A-HJKMNP-TV-Z]{18}$/.test(text);
}

/** Ids become file names, hence no dots or slashes, and a limit. Operators type ids, so Spool.read() checks them too. */
export function isFileSafeId(id: string): boolean {
  return /^[\w-]{1,64}$/.test(id);
}
