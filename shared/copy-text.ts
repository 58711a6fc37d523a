/** Text that keeps no longer text alive. Pure. */

/**
 * V8 keeps the whole string behind each part of it (slice(), match()): what is kept of a long command line, say, would
 * keep the line.
 * @param text  without lone surrogates
 */
export function copyText(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
}
