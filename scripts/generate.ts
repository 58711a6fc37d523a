/** Writes the generated documents: `npm run generate`. test/unit/house/generated.test.ts checks that they are current. */
import { writeFileSync } from "node:fs";
import { editorJsonSchema } from "../shared/config/json-schema.ts";
import { configurationReference } from "../shared/config/reference.ts";
import { apiPage } from "./api-page.ts";
import { metricsPage } from "./metrics-page.ts";
import { packages, rooms } from "./rooms.ts";

/** The text of each generated file, by its path from the root of the repository. */
export function generatedFiles(): Record<string, string> {
  return {
    "docs/api.md": apiPage(),
    "docs/configuration.md": configurationReference(),
    "docs/metrics.md": metricsPage(),
    "docs/postern.schema.json": `${JSON.stringify(editorJsonSchema(), null, 2)}\n`,
    "docs/rooms.md": roomsPage(),
  };
}

function roomsPage(): string {
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(", ");
  const roomRows = Object.entries(rooms).map(
    ([name, { purpose, pure, imports }]) =>
      `| \`${name}\` | ${purpose} | ${pure ? "yes" : ""} | ${code(imports)} |`,
  );
  const packageRows = Object.entries(packages).map(([name, owners]) => `| \`${name}\` | ${code(owners)} |`);
  return `<!-- Made by \`npm run generate\` from scripts/rooms.ts. Do not edit. -->
# Rooms

A room is a directory of source. \`npm run lint\` (\`scripts/walls.ts\`) fails when a file imports from a room that its row
does not name, when two rooms import each other, and when a row allows an import that nobody uses. A pure room makes
decisions only: it uses no sockets, files, timers, clock or environment, not even by what it imports.

| room | purpose | pure | imports |
| --- | --- | --- | --- |
${roomRows.join("\n")}

## Packages

| package | imported in |
| --- | --- |
${packageRows.join("\n")}
`;
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(generatedFiles())) {
    writeFileSync(new URL(`../${file}`, import.meta.url), text);
  }
}
