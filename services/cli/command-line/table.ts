/** Tables for a terminal: columns that fit its width, and no control characters. Pure. */

export interface Column<Row> {
  title: string;
  value(row: Row): string;
  align?: "left" | "right";
  /** The least width on a narrow terminal; absent: the width of the widest value. */
  shrinkTo?: number;
  /** Colours a cell that has its final width. */
  style?(row: Row, cell: string): string;
}

const gap = 2;
/** For a pipe or a file. */
const widthWithoutTerminal = 200;

/** The width for a table on this output. */
export function tableWidth({ columns = widthWithoutTerminal }: { columns?: number | undefined }): number {
  return columns;
}

/**
 * Lines without line ends; a heading first.
 * @param width  of the terminal; exceeded when the columns cannot shrink so far
 */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
): string[] {
  return startTable(columns, rows, width).lines;
}

/**
 * The heading and the first rows of a table, whose widths are then kept for the rows that follow: a table of any length
 * needs little memory. Columns that may not shrink show longer values whole.
 */
export function startTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
): { lines: string[]; more(rows: readonly Row[]): string[] } {
  const cellsOf = (row: Row): string[] => columns.map((column) => printable(column.value(row)));
  const cells = rows.map(cellsOf);
  const natural = columns.map((column, index) =>
    cells.reduce(
      (widest, line) => Math.max(widest, displayWidth(line[index] ?? "")),
      displayWidth(column.title),
    ),
  );
  const widths = fit(
    natural,
    columns.map((column, index) => column.shrinkTo ?? natural[index] ?? 0),
    width - gap * (columns.length - 1),
  );
  const line = (texts: readonly string[], row?: Row): string =>
    texts
      .map((text, index) => {
        const { align = "left", shrinkTo, style } = columns[index] ?? { align: "left" };
        const room =
          shrinkTo === undefined ? Math.max(widths[index] ?? 0, displayWidth(text)) : (widths[index] ?? 0);
        const padded = pad(text, room, align);
        return row === undefined || style === undefined ? padded : style(row, padded);
      })
      .join(" ".repeat(gap))
      .trimEnd();
  return {
    lines: [
      line(columns.map((column) => column.title)),
      ...rows.map((row, index) => line(cells[index] ?? [], row)),
    ],
    more: (others) => others.map((row) => line(cellsOf(row), row)),
  };
}

/** Narrows the widest column that may shrink, by one cell at a time, until all columns fit. */
function fit(natural: readonly number[], least: readonly number[], room: number): number[] {
  const widths = [...natural];
  let excess = widths.reduce((sum, each) => sum + each, 0) - room;
  while (excess > 0) {
    let widest = -1;
    for (let index = 0; index < widths.length; index++) {
      const width = widths[index] ?? 0;
      if (width > (least[index] ?? 0) && width > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess--;
  }
  return widths;
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const cut = truncate(text, width);
  const space = " ".repeat(Math.max(0, width - displayWidth(cut)));
  return align === "right" ? space + cut : cut + space;
}

/** Cuts text to at most `width` cells, and ends it with an ellipsis when it is cut. */
export function truncate(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const next = graphemeWidth(segment);
    if (used + next > width - 1) break;
    kept += segment;
    used += next;
  }
  return `${kept.trimEnd()}…`;
}

/**
 * Text as one line that is safe to print: line ends become spaces. Other control characters, which could move the cursor
 * or send commands to the terminal, and marks that change the direction of text become visible escapes.
 */
export function printable(text: string): string {
  return text
    .replaceAll(/\s*[\r\n]+\s*/g, " ")
    .replaceAll(
      /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069\p{Zl}\p{Zp}]/gu,
      (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
    );
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** Wide characters of Unicode's East Asian Width (UAX #11) and emoji take two cells. */
function graphemeWidth(grapheme: string): number {
  return /^(\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}])/u.test(
    grapheme,
  )
    ? 2
    : 1;
}
