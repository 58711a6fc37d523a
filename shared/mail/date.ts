/** Dates of header fields (RFC 5322 §3.3), always in UTC. */

let cachedSecond = Number.NaN;
let cachedText = "";

/** `Mon, 24 Nov 2025 03:59:00 +0000`. @param atMs  epoch milliseconds */
export function rfc5322Date(atMs: number): string {
  const second = Math.floor(atMs / 1000);
  // A busy gateway writes thousands in the same second.
  if (second !== cachedSecond) {
    cachedSecond = second;
    cachedText = `${new Date(second * 1000).toUTCString().slice(0, -3)}+0000`;
  }
  return cachedText;
}
