/** Colours for people: on a terminal only, and not with NO_COLOR. Pure. */
import { styleText } from "node:util";
import type { Output } from "./command.ts";

export type Style = Parameters<typeof styleText>[0];

/** The text, in this style where the output has colours. */
export function paint(output: Pick<Output, "hasColors">, style: Style, text: string): string {
  return text === "" || !(output.hasColors?.() ?? false)
    ? text
    : styleText(style, text, { validateStream: false });
}
