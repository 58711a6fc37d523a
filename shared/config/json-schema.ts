/** The configuration's schema as JSON Schema: for editors, for the reference page, and for the words of mistakes. */
import { z } from "zod";
import type { Path } from "./path.ts";
import { configSchema } from "./schema.ts";

/** The part of JSON Schema (2020-12) that the configuration uses. */
export interface JsonSchema {
  $schema?: string;
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  /** The kind of value, where it is more than a JSON type: `duration`, `network`, … */
  title?: string;
  description?: string;
  default?: unknown;
  type?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  pattern?: string;
  minLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  propertyNames?: JsonSchema;
  additionalProperties?: boolean | JsonSchema;
}

let cached: JsonSchema | undefined;

/** What may stand in the file, before defaults and conversions. */
export function configJsonSchema(): JsonSchema {
  cached ??= z.toJSONSchema(configSchema, {
    io: "input",
    unrepresentable: "any",
    override: ({ jsonSchema }) => nameValueKind(jsonSchema as Record<string, unknown>),
  }) as JsonSchema;
  return cached;
}

/**
 * `format` and `jsonSchema` of a value's meta (values.ts) become a title and the real pattern: JSON Schema gives
 * some formats, such as `duration`, a meaning of its own.
 */
function nameValueKind(node: Record<string, unknown>): void {
  const { format, jsonSchema } = node;
  delete node.format;
  delete node.jsonSchema;
  if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
  if (typeof format === "string") node.title = format;
  if (jsonSchema !== undefined) {
    delete node.type;
    delete node.anyOf;
    Object.assign(node, jsonSchema);
  }
}

/** The schema of the value at a path; `undefined` where the schema has no such place. */
export function schemaAt(path: Path): JsonSchema | undefined {
  let node: JsonSchema | undefined = configJsonSchema();
  for (const step of path) {
    if (typeof step === "number") node = node.items;
    else if (node.properties !== undefined)
      node = Object.hasOwn(node.properties, step) ? node.properties[step] : undefined;
    else node = typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
    if (node === undefined) return undefined;
  }
  return node;
}

/** For editors: a `${NAME}` may stand for any value. */
export function editorJsonSchema(): JsonSchema {
  const { $schema, ...root } = configJsonSchema();
  return {
    ...($schema === undefined ? {} : { $schema }),
    title: "Postern configuration",
    ...allowVariables(root),
    $defs: {
      variable: {
        type: "string",
        description: "Takes an environment variable.",
        pattern: "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}",
      },
    },
  };
}

function allowVariables(node: JsonSchema): JsonSchema {
  if (node.type === "object" || node.type === "array") {
    return {
      ...node,
      ...(node.items === undefined ? {} : { items: allowVariables(node.items) }),
      ...(node.properties === undefined
        ? {}
        : { properties: mapValues(node.properties, (property) => allowVariables(property)) }),
      ...(typeof node.additionalProperties === "object"
        ? { additionalProperties: allowVariables(node.additionalProperties) }
        : {}),
    };
  }
  const { title, description, default: byDefault, anyOf, ...value } = node;
  const forms = anyOf ?? [value];
  if (forms.length === 1 && isAnyText(value)) return node;
  return {
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    ...(byDefault === undefined ? {} : { default: byDefault }),
    anyOf: [...forms, { $ref: "#/$defs/variable" }],
  };
}

function isAnyText(value: JsonSchema): boolean {
  return value.type === "string" && value.pattern === undefined && value.enum === undefined;
}

function mapValues<A, B>(record: Record<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
