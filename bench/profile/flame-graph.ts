/** Draws a call tree as a flame graph: one SVG for any browser, with the whole name of a frame as its tooltip. Pure. */

export interface Frame {
  name: string;
  /** Its own value and those of all frames below it. */
  value: number;
  children: Frame[];
}

const width = 1600;
const rowHeight = 17;
/** Narrower frames are not drawn. */
const minWidth = 0.4;
const characterWidth = 6.6;

/** @param describe  the text for a value: `12.3 %` */
export function flameGraph(title: string, root: Frame, describe: (value: number) => string): string {
  const boxes: string[] = [];
  let depth = 0;
  const draw = (frame: Frame, left: number, level: number): void => {
    const frameWidth = (frame.value / root.value) * width;
    if (frameWidth < minWidth) return;
    depth = Math.max(depth, level);
    const y = 30 + level * rowHeight;
    const characters = Math.floor(frameWidth / characterWidth) - 1;
    const label = characters < 3 ? "" : frame.name.slice(0, characters);
    boxes.push(
      `<g><title>${escapeXml(`${frame.name}: ${describe(frame.value)}`)}</title>` +
        `<rect x="${left.toFixed(1)}" y="${y}" width="${frameWidth.toFixed(1)}" height="${rowHeight - 1}" fill="${colour(frame.name)}"/>` +
        `<text x="${(left + 3).toFixed(1)}" y="${y + 12}">${escapeXml(label)}</text></g>`,
    );
    let at = left;
    for (const child of [...frame.children].sort((a, b) => b.value - a.value)) {
      draw(child, at, level + 1);
      at += (child.value / root.value) * width;
    }
  };
  draw(root, 0, 0);
  const height = 30 + (depth + 1) * rowHeight + 10;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
<text x="4" y="18" font-size="14">${escapeXml(title)}</text>
${boxes.join("\n")}
</svg>
`;
}

/** Postern, packages and Node itself have different colours. */
function colour(name: string): string {
  if (name.includes("node_modules/")) return "#e8c468";
  if (/\b(services|shared)\//.test(name)) return "#e2725b";
  return "#b9c7d6";
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
