/**
 * Address patterns of filters and holds, in which `*` matches any text anywhere. Those of the configuration are stricter
 * (shared/routing/patterns.ts). Pure.
 */

/** A test for addresses. `user@example.com`, `*@example.com`, `*@*.example.com`, `<>`, `*`, or any text with `*`. */
export function addressMatcher(pattern: string): (address: string) => boolean {
  const wanted = pattern.trim().toLowerCase();
  if (wanted === "*") return () => true;
  if (wanted === "<>" || wanted === "") return (address) => address === "";
  if (!wanted.includes("*")) return (address) => address.toLowerCase() === wanted;
  const pieces = wanted.split("*");
  return (address) => matchesPieces(address.toLowerCase(), pieces);
}

/** Takes linear time, unlike a regular expression made from user input. */
function matchesPieces(text: string, pieces: string[]): boolean {
  const first = pieces[0] ?? "";
  const last = pieces.at(-1) ?? "";
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length)
    return false;
  let position = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, position);
    if (found < 0 || found + piece.length > end) return false;
    position = found + piece.length;
  }
  return true;
}

/**
 * Why a pattern can match no address at all: a domain alone is a common slip.
 * @returns a clause for "needs an address or a pattern: …"; `undefined` when something may match
 */
export function whyMatchesNothing(pattern: string): string | undefined {
  const text = pattern.trim();
  // RFC 5321 §4.1.1.3: postmaster needs no domain.
  if (text === "" || text === "<>" || text.includes("*") || /^postmaster$/i.test(text)) return undefined;
  if (/^[^@].*@.+$/.test(text)) return undefined;
  const domain = text.replace(/^@|@$/g, "");
  return `'${text}' is no address; '*@${domain}' is all mail of a domain`;
}
