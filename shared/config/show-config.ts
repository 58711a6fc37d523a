/** The configuration in force as it would stand in a file: with every default, and without secrets. Pure. */
import { formatHostPort, type HostPort } from "../net/endpoint.ts";
import { configJsonSchema, type JsonSchema } from "./json-schema.ts";
import type { Config } from "./schema.ts";
import type { Rate } from "./values.ts";

/** Stands for a password or a token. */
export const masked = "***";

/** Maps, lists and scalars, in the order of the schema; values as the file writes them: `5m`, `25MB`, `100/1m`. */
export function showConfig(config: Config): Record<string, unknown> {
  return show(config, configJsonSchema(), "") as Record<string, unknown>;
}

function show(value: unknown, schema: JsonSchema, key: string): unknown {
  if (isSecret(key) && typeof value === "string") return masked;
  switch (schema.title) {
    case "duration":
      return typeof value === "number" ? withUnit(value, durations) : value;
    case "size":
      return typeof value === "number" ? withUnit(value, sizes) : value;
    case "rate":
      return isRate(value) ? `${value.count}/${withUnit(value.periodMs, ratePeriods)}` : value;
    case "server":
      return isHostPort(value) ? formatHostPort(value) : value;
    case "network":
      return String(value);
  }
  if (typeof value === "string") return withoutPassword(value);
  if (Array.isArray(value)) return value.map((item) => show(item, schema.items ?? {}, key));
  if (typeof value !== "object" || value === null) return value;
  const given = value as Record<string, unknown>;
  const names = [...new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(given)])];
  return Object.fromEntries(
    names
      .filter((name) => given[name] !== undefined)
      .map((name) => [name, show(given[name], schemaOf(schema, name), name)]),
  );
}

function schemaOf(schema: JsonSchema, name: string): JsonSchema {
  const inner = schema.properties?.[name] ?? schema.additionalProperties;
  return typeof inner === "object" ? inner : {};
}

/** By name, so that a key that is added later is masked too. Paths of key files are no secrets. */
function isSecret(key: string): boolean {
  return /(^|_)(token|password|passphrase|secret|secret_key|secret_access_key)$/i.test(key);
}

/** `redis://user:***@host` */
function withoutPassword(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/\s]*):[^@/\s]+@/i, `$1:${masked}@`);
}

const durations = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
const ratePeriods = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
const sizes = { GB: 1024 ** 3, MB: 1024 ** 2, KB: 1024, B: 1 };

/** In the largest unit that needs no fraction. */
function withUnit(value: number, units: Record<string, number>): string | number {
  if (value === 0) return 0;
  for (const [unit, factor] of Object.entries(units))
    if (value % factor === 0) return `${value / factor}${unit}`;
  return value;
}

function isRate(value: unknown): value is Rate {
  return typeof value === "object" && value !== null && "periodMs" in value;
}

function isHostPort(value: unknown): value is HostPort {
  return typeof value === "object" && value !== null && "host" in value && "port" in value;
}
