/** Text in lines of a given width, and counts with their noun. Pure. */
import { displayWidth, truncate } from "./table.ts";

/** Breaks at spaces; a word that is longer than a line is broken where the line ends. @param text  printable */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of text.split(" ")) {
    const joined = line === "" ? word : `${line} ${word}`;
    if (displayWidth(joined) <= width) {
      line = joined;
      continue;
    }
    if (line !== "") lines.push(line);
    while (displayWidth(word) > width) {
      const start = truncate(word, width + 1).slice(0, -1);
      if (start === "") break;
      lines.push(start);
      word = word.slice(start.length);
    }
    line = word;
  }
  return line === "" && lines.length > 0 ? lines : [...lines, line];
}

/** `1 message`, `3 messages`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
