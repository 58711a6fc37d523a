/**
 * Address patterns as operators type them for filters and holds: `*` stands for anything, anywhere. The patterns of the
 * configuration are stricter (shared/routing/patterns.ts). Pure.
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

/** Linear, unlike a regular expression made from what someone typed. */
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
