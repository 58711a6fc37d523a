/** MTA-STS records and policies (RFC 8461 §3.1, §3.2): strict parsers, since anybody may have written them. Pure. */

export interface StsPolicy {
  mode: "enforce" | "testing" | "none";
  /** Patterns in lower case: `mx.example.com`, or `*.example.com` for one label more. Empty only in mode none. */
  mx: string[];
  maxAgeSeconds: number;
}

export type ParsedPolicy = { kind: "policy"; policy: StsPolicy } | { kind: "invalid"; reason: string };

/** RFC 8461 §3.2: about a year; longer ages are cut to it. */
const maxMaxAgeSeconds = 31_557_600;
/** Patterns of a policy; one with more is refused. */
const maxMxPatterns = 500;

const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const mxPattern = new RegExp(`^(?:\\*\\.)?(?:${label}\\.)*${label}$`);
/** RFC 8461 §3.2, sts-policy-ext-name and its delimiter; the value, which begins with no space, up to the end of the line. */
const line = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*((?:[^\p{Cc} ]\P{Cc}*)?)$/u;

/** @param text  the body of the HTTPS response */
export function parseStsPolicy(text: string): ParsedPolicy {
  const fields = new Map<string, string>();
  const mx = new Set<string>();
  for (const raw of text.split(/\r?\n/)) {
    const trimmed = withoutSpaceBehind(raw);
    // Not in the grammar, but editors leave empty lines.
    if (trimmed === "") continue;
    const match = line.exec(trimmed);
    const [, name = "", value = ""] = match ?? [];
    if (match === null) return invalid('a line is no "name: value"');
    if (name === "mx") {
      const pattern = value.toLowerCase().replace(/\.$/, "");
      if (pattern.length > 253 || !mxPattern.test(pattern))
        return invalid("an mx is not a host name or *.name");
      mx.add(pattern);
      if (mx.size > maxMxPatterns) return invalid(`it has more than ${maxMxPatterns} mx`);
    } else if (!fields.has(name)) {
      // RFC 8461 §3.2: of fields that stand more than once, the first counts.
      fields.set(name, value);
    }
  }
  if (fields.get("version") !== "STSv1") return invalid("its version is not STSv1");
  const mode = fields.get("mode");
  if (mode !== "enforce" && mode !== "testing" && mode !== "none") {
    return invalid("its mode is not enforce, testing or none");
  }
  const maxAge = fields.get("max_age") ?? "";
  if (!/^\d{1,10}$/.test(maxAge)) return invalid("its max_age is not a number of seconds");
  if (mx.size === 0 && mode !== "none") return invalid("it has no mx");
  const maxAgeSeconds = Math.min(Number(maxAge), maxMaxAgeSeconds);
  return { kind: "policy", policy: { mode, mx: [...mx], maxAgeSeconds } };
}

/**
 * RFC 8461 §4.1: case does not count, and a wildcard stands for exactly one label, the leftmost.
 * @param host  the MX host name in A-labels
 */
export function listsHost(policy: StsPolicy, host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, "");
  const dot = name.indexOf(".");
  const wildcard = dot > 0 ? `*${name.slice(dot)}` : undefined;
  return policy.mx.some((pattern) => pattern === name || pattern === wildcard);
}

/** The TXT record at `_mta-sts.domain` (RFC 8461 §3.1). Another `id` means another policy. */
export type StsRecord = { kind: "id"; id: string } | { kind: "none"; reason: string };

/** RFC 8461 §3.1, sts-id and sts-ext: the fields after the version. */
const field = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)$/;
const idValue = /^[A-Za-z0-9]{1,32}$/;

/** @param records  every TXT record of the name, its strings joined */
export function readStsRecords(records: readonly string[]): StsRecord {
  // Zones with a wildcard have other TXT records at this name too.
  const candidates = records.filter((record) => /^v=STSv1[ \t]*;/.test(record));
  const [record] = candidates;
  if (record === undefined) return { kind: "none", reason: "no MTA-STS record" };
  // RFC 8461 §3.1: several records count as none.
  if (candidates.length > 1) return { kind: "none", reason: "more than one MTA-STS record" };
  const [, ...rest] = record.split(";").map((part) => withoutSpaceBehind(part.replace(/^[ \t]+/, "")));
  if (rest.at(-1) === "") rest.pop();
  let id: string | undefined;
  for (const part of rest) {
    const match = field.exec(part);
    if (match === null) return { kind: "none", reason: "a malformed MTA-STS record" };
    if (match[1] === "id") id ??= match[2];
  }
  if (id === undefined || !idValue.test(id))
    return { kind: "none", reason: "an MTA-STS record without an id" };
  return { kind: "id", id };
}

/** Without the spaces and tabs at its end: a regular expression would take quadratic time for a line full of them. */
function withoutSpaceBehind(text: string): string {
  let end = text.length;
  while (text[end - 1] === " " || text[end - 1] === "\t") end--;
  return text.slice(0, end);
}

function invalid(reason: string): ParsedPolicy {
  return { kind: "invalid", reason };
}
