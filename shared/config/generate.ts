/** Writes docs/configuration.md and docs/postern.schema.json from the schema: `node shared/config/generate.ts`. */
import { writeFileSync } from "node:fs";
import { editorJsonSchema } from "./json-schema.ts";
import { configurationReference } from "./reference.ts";

/** What stands in docs/, by file name; a test holds the files current. */
export function generatedDocs(): Record<string, string> {
  return {
    "configuration.md": configurationReference(),
    "postern.schema.json": `${JSON.stringify(editorJsonSchema(), null, 2)}\n`,
  };
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(generatedDocs())) {
    writeFileSync(new URL(`../../docs/${name}`, import.meta.url), text);
  }
}
