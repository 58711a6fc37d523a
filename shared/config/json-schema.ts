/** The schema of the configuration as JSON Schema: for editors, the reference page and error messages. Pure. */
import { z } from "zod";

import type { Path } from "./config-error.ts";
import { configSchema } from "./schema.ts";

/** What stands on each line of a list in a file. */
export type ListKind = "domain" | "network" | "route";

/** The part of JSON Schema (2020-12) that the configuration uses. */
export interface JsonSchema {
  $schema?: string;
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  /** The kind of value where the JSON type does not say it: `duration`, `network`, … */
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
  /** `{ file: PATH }` may stand in its place: of the schema's meta, not of JSON Schema. */
  fileList?: ListKind;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  propertyNames?: JsonSchema;
  additionalProperties?: boolean | JsonSchema;
}

let cached: JsonSchema | undefined;

/** The schema of the file, before defaults and conversions. */
export function configJsonSchema(): JsonSchema {
  cached ??= z.toJSONSchema(configSchema, {
    io: "input",
    unrepresentable: "any",
    override: ({ jsonSchema }) => nameValueKind(jsonSchema as Record<string, unknown>),
  }) as JsonSchema;
  return cached;
}

/**
 * Turns `format` and `jsonSchema` of a value's meta (values.ts) into a title and the real pattern, since JSON Schema
 * defines some formats, such as `duration`, differently.
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

/** The schema of the value at a path; `undefined` where the schema has no such path. */
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

const fileReference: JsonSchema = {
  type: "object",
  description: "A file with one entry a line.",
  properties: { file: { type: "string", minLength: 1 } },
  required: ["file"],
  additionalProperties: false,
};

/** The schema for editors, in which `${NAME}` may take the place of any value. */
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

function allowVariables({ fileList, ...node }: JsonSchema): JsonSchema {
  if (fileList !== undefined) {
    const { description, default: byDefault, ...list } = node;
    return {
      ...(description === undefined ? {} : { description }),
      ...(byDefault === undefined ? {} : { default: byDefault }),
      anyOf: [allowVariables(list), fileReference],
    };
  }
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
