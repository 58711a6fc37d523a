/** Describes errors of schema validation for people. Pure. */
import type { z } from "zod";
import { closest } from "./closest.ts";
import { type Finding, type Path, valueAt } from "./config-error.ts";
import { type JsonSchema, schemaAt } from "./json-schema.ts";

type Issue = z.core.$ZodIssue;

/** @param root  the value that was parsed: shows whether a key is missing or its value is wrong */
export function describeIssues(issues: readonly Issue[], root: unknown): Finding[] {
  return issues.flatMap((issue) => describeIssue(issue, root));
}

function describeIssue(issue: Issue, root: unknown): Finding[] {
  const path = issue.path as Path;
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({ path: [...path, key], message: describeUnknownKey(path, key) }));
    case "invalid_key":
      return [{ path, message: issue.issues[0]?.message ?? issue.message }];
    case "custom":
    case "invalid_format":
      return [{ path, message: issue.message }];
    default:
      return [{ path, message: describeWrongValue(path, root) }];
  }
}

function describeUnknownKey(path: Path, key: string): string {
  const known = Object.keys(schemaAt(path)?.properties ?? {});
  const near = closest(key, known);
  return near === undefined
    ? `is not a known key; known here: ${known.join(", ")}`
    : `is not a known key; did you mean ${near}?`;
}

function describeWrongValue(path: Path, root: unknown): string {
  const schema = schemaAt(path) ?? {};
  const expected = describeExpected(schema);
  const value = path.length === 0 ? root : valueAt(root, path);
  const give = expected === "text" ? "" : `: give ${expected}`;
  if (value === undefined) return `is missing${give}`;
  if (value === null) return `has no value: give ${expected}, or take the key out`;
  if (value === "") return `is empty${give}`;
  if (Array.isArray(value) && schema.type === "array") return "must have at least one entry";
  return `must be ${expected}${describeQuotes(schema, value)}`;
}

const kinds: Record<string, string> = {
  duration: "a duration such as 30s, 5m, 4h, 5d or 0",
  size: "a size such as 64KB, 25MB or 0",
  rate: "a rate such as 100/1m",
  network: "a network such as 192.0.2.0/24 or 2001:db8::/32, or a single address",
  server: "a server such as 203.0.113.25:25 or [2001:db8::25]:25",
  domain: "a domain such as example.com or *.example.com",
  destination: "a domain such as example.com or *.example.com, an IP address, or *",
  "address pattern": "an address pattern such as user@example.com or *@example.com, or *",
};

function describeExpected(schema: JsonSchema): string {
  const kind = kinds[schema.title ?? ""];
  if (kind !== undefined) return kind;
  const choices = schema.enum ?? schema.anyOf?.map((form) => form.const);
  if (choices !== undefined) return describeChoices([...new Set(choices.map(String))]);
  switch (schema.type) {
    case "integer":
      return schema.maximum === undefined
        ? `a whole number, ${schema.minimum ?? 0} or more`
        : `a whole number from ${schema.minimum ?? 0} to ${schema.maximum}`;
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "object":
      return schema.properties === undefined
        ? "a mapping of names"
        : `a mapping with the keys ${Object.keys(schema.properties).join(", ")}`;
    default:
      return "text";
  }
}

function describeChoices(choices: string[]): string {
  const last = choices.at(-1) ?? "";
  return choices.length < 2 ? last : `${choices.slice(0, -1).join(", ")} or ${last}`;
}

function describeQuotes(schema: JsonSchema, value: unknown): string {
  const wantsText = schema.type === "string" && schema.title === undefined && schema.enum === undefined;
  if (wantsText && (typeof value === "number" || typeof value === "boolean")) return ": put it in quotes";
  const wantsBare = schema.type === "integer" || schema.type === "boolean";
  if (wantsBare && typeof value === "string" && /^(\d+|true|false)$/.test(value)) return ", without quotes";
  return "";
}
