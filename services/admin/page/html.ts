/** A template tag for HTML that escapes interpolated text: addresses and replies come from strangers. */

/** Text that is HTML and is not escaped again. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Piece = Html | Html[] | string | number;

/** Tags a template: interpolated text is escaped, interpolated Html is not. */
export function html(strings: TemplateStringsArray, ...pieces: Piece[]): Html {
  let text = strings[0] ?? "";
  pieces.forEach((piece, index) => {
    text += render(piece) + (strings[index + 1] ?? "");
  });
  return new Html(text);
}

function render(piece: Piece): string {
  if (piece instanceof Html) return piece.text;
  if (Array.isArray(piece)) return piece.map((each) => each.text).join("");
  return escapeHtml(String(piece));
}

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
