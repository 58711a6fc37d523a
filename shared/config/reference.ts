/** Makes the reference page of the configuration from the schema. Pure. */
import { configJsonSchema, type JsonSchema } from "./json-schema.ts";
import { describeEffect } from "./takes-effect.ts";

/** One key of the configuration as the page shows it. */
interface Entry {
  /** `listeners[].port` */
  path: string;
  type: string;
  /** As written in the file; `required`, or "" when there is none. */
  byDefault: string;
  description: string;
}

/** The whole page in Markdown. */
export function configurationReference(): string {
  const sections = Object.entries(configJsonSchema().properties ?? {}).filter(([, schema]) =>
    isComposite(schema),
  );
  return [
    introduction,
    "## Top level\n",
    table(topLevelEntries()),
    ...sections.flatMap(([name, schema]) => [
      `## ${name}\n`,
      `${schema.description ?? ""}\n`,
      table(collect(schema, name).filter(({ path }) => path !== name)),
    ]),
    "",
  ]
    .join("\n")
    .replace(/\n+$/, "\n");
}

/** Every key, in the order of the schema. */
export function configurationEntries(): Entry[] {
  return Object.entries(configJsonSchema().properties ?? {}).flatMap(([name, schema]) => [
    entryOf(name, schema, isRequired(configJsonSchema(), name)),
    ...collect(schema, name).filter(({ path }) => path !== name),
  ]);
}

const introduction = `<!-- Made by \`npm run generate\` from shared/config/schema.ts. Do not edit. -->
# Configuration

One YAML file configures all services: \`-c FILE\`, else \`$POSTERN_CONFIG\`, else \`./postern.yaml\`. \`postern config check\`
prints every error in it at once, each with its path and line, and then exits with status 2; no service starts while its
configuration has errors. [postern.schema.json](postern.schema.json) lets an editor complete and check the file as you
write: put \`# yaml-language-server: $schema=docs/postern.schema.json\` at its top.

Values:

| kind | form |
| --- | --- |
| duration | \`500ms\`, \`30s\`, \`5m\`, \`4h\`, \`5d\`, or \`0\` |
| size | \`512B\`, \`64KB\`, \`25MB\`, \`1GB\`, or \`0\`; 1 KB is 1024 octets |
| rate | \`100/1m\`: a hundred in each minute |
| network | \`192.0.2.0/24\`, \`2001:db8::/32\`, or a single address |
| server | \`203.0.113.25:25\`, \`[2001:db8::25]:25\` or \`mail.example.com:25\`; without a port: 25 |
| domain | \`example.com\`, or \`*.example.com\` for all below it and not itself; Unicode or \`xn--\` form |
| destination | a domain, the IP address of a host (\`192.0.2.25\`, \`2001:db8::25\`), or \`*\` for all |
| address pattern | \`user@example.com\`, \`*@example.com\`, \`*@*.example.com\`, \`*\`; \`<>\` is the null sender; upper and lower case are the same |

\`\${NAME}\` in a value takes the environment variable of that name; one that is not set is an error. Quoted, the value is
text; unquoted and alone, a number or a boolean is read as one: \`port: \${SMTP_PORT}\`. \`$\${\` is the text
\`\${\` itself. Anchors, aliases and merge keys (\`<<\`) of YAML work. Relative file names start from the directory of
the configuration file.

A running gateway reads the file again at \`postern reload\` and at SIGHUP. What takes effect at a *reload* is in force for
new sessions and new attempts from then on, and those that are under way end as they began; what takes effect at a *restart*
is named in the answer, and waits until the services are started again. An invalid file changes nothing:
[operations.md](operations.md#change-the-configuration).

Where the type is a list, or \`{ file: PATH }\`, the list may stand in a file: one entry a line, \`#\` begins a comment, PATH
is relative to the configuration file. A line of \`relay.routes\` is \`TO VIA\`, or \`to=\`, \`from=\` and \`via=\` in any order:

\`\`\`yaml
protected:
  - { domains: { file: domains.txt }, servers: ["203.0.113.25:25"] }
relay: { clients: { file: networks.txt }, routes: { file: routes.txt } }
\`\`\`

A running gateway takes changes of these files, of the certificates and of the users by itself, within a few seconds. While a
file has errors, what it had before stays in force.

In the tables, \`[]\` is an entry of a list and \`NAME\` a name of your choice.
`;

function topLevelEntries(): Entry[] {
  const root = configJsonSchema();
  return Object.entries(root.properties ?? {}).map(([name, schema]) => {
    const entry = entryOf(name, schema, isRequired(root, name));
    return isComposite(schema) ? { ...entry, type: `[${entry.type}](#${name})` } : entry;
  });
}

function isComposite(schema: JsonSchema): boolean {
  return schema.type === "object" || (schema.type === "array" && schema.items?.type === "object");
}

/** A row for each key within a value. */
function collect(schema: JsonSchema, path: string): Entry[] {
  if (schema.type === "array" && schema.items?.type === "object") return collect(schema.items, `${path}[]`);
  if (schema.type !== "object") return [];
  if (typeof schema.additionalProperties === "object") {
    const inner = schema.additionalProperties;
    return collect(inner, `${path}.NAME`);
  }
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => [
    entryOf(`${path}.${name}`, property, isRequired(schema, name)),
    ...collect(property, `${path}.${name}`),
  ]);
}

function isRequired(parent: JsonSchema, name: string): boolean {
  return parent.required?.includes(name) ?? false;
}

function entryOf(path: string, schema: JsonSchema, required: boolean): Entry {
  return {
    path,
    type: typeName(schema),
    byDefault: required ? "required" : showDefault(schema),
    description: schema.description ?? "",
  };
}

function typeName(schema: JsonSchema): string {
  if (schema.title !== undefined) return schema.title;
  const choices = schema.enum ?? schema.anyOf?.map((form) => form.const);
  if (choices !== undefined)
    return [...new Set(choices.map(String))].map((choice) => `\`${choice}\``).join(", ");
  switch (schema.type) {
    case "array":
      if (schema.fileList !== undefined) return `${listName(schema)}, or \`{ file: PATH }\``;
      return schema.items?.type === "object" ? "list" : `list of ${plural(typeName(schema.items ?? {}))}`;
    case "object":
      return typeof schema.additionalProperties === "object" ? "mapping by name" : "mapping";
    case "integer":
      return schema.maximum === undefined ? "number" : `number, ${schema.minimum ?? 0} to ${schema.maximum}`;
    case "string":
      return "text";
    default:
      return schema.type ?? "";
  }
}

function listName({ items = {} }: JsonSchema): string {
  return items.type === "object" ? "list" : `list of ${plural(typeName(items))}`;
}

function plural(type: string): string {
  return type === "text" || type.startsWith("`") ? type : type.replace(/^[a-z ]+/, "$&s");
}

function showDefault(schema: JsonSchema): string {
  const value = schema.default;
  // The defaults of a mapping are in the rows of its keys.
  if (value === undefined || (schema.type === "object" && schema.properties !== undefined)) return "";
  return `\`${flow(value)}\``;
}

/** YAML on one line. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).map(([key, inner]) => `${key}: ${flow(inner)}`);
    return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
  }
  if (typeof value === "string") return /^[\w./][\w ./-]*$/.test(value) ? value : JSON.stringify(value);
  return String(value);
}

function table(entries: Entry[]): string {
  const rows = entries.map(
    ({ path, type, byDefault, description }) =>
      `| \`${path}\` | ${type} | ${byDefault} | ${describeEffect(path)} | ${description.replaceAll("|", "\\|")} |`,
  );
  return [
    "| key | type | default | takes effect | meaning |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}
