/** Names of segments, status logs and large bodies: who wrote them, and when they were opened (pure). */

/** What the name of a segment or status log says. */
export interface NumberedName {
  /** Epoch milliseconds when it was opened; rising, and never twice, for one writer. */
  openedMs: number;
  writer: string;
  /** It may contain records that settle other messages; only segments do. */
  settling: boolean;
}

/** `openedMs` has nine digits in base 36 until the year 5188, hence names sort by age. */
export function numberedName({ openedMs, writer, settling }: NumberedName): string {
  return `${openedMs.toString(36).padStart(9, "0")}-${writer}${settling ? "-s" : ""}`;
}

const numbered = /^([0-9a-z]{9})-([0-9a-z]{12})(-s)?$/;

export function parseNumberedName(name: string): NumberedName | undefined {
  const match = numbered.exec(name);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return {
    openedMs: Number.parseInt(match[1], 36),
    writer: match[2],
    settling: match[3] !== undefined,
  };
}

/** @param random  at least 12 random octets */
export function writerName(random: Uint8Array): string {
  let name = "";
  for (let i = 0; i < 12; i++) name += ((random[i] ?? 0) % 36).toString(36);
  return name;
}

export function largeName(writer: string, count: number): string {
  return `${writer}-${count.toString(36)}`;
}

export function writerOfLarge(name: string): string {
  return name.slice(0, name.indexOf("-"));
}
