/** The TXT record at `_mta-sts.domain` (RFC 8461 §3.1), which says that there is a policy and which. Pure. */

/** An id: its change says that the policy has changed. */
export type StsRecord = { kind: "id"; id: string } | { kind: "none"; reason: string };

/** RFC 8461 §3.1, sts-id and sts-ext: the fields after the version. */
const field = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)$/;
const idValue = /^[A-Za-z0-9]{1,32}$/;

/** @param records  every TXT record of the name, its strings joined */
export function readStsRecords(records: readonly string[]): StsRecord {
  // Other TXT records may stand beside it, in zones with a wildcard.
  const candidates = records.filter((record) => /^v=STSv1[ \t]*;/.test(record));
  const [record] = candidates;
  if (record === undefined) return { kind: "none", reason: "no MTA-STS record" };
  // RFC 8461 §3.1: two records are as good as none.
  if (candidates.length > 1) return { kind: "none", reason: "more than one MTA-STS record" };
  const [, ...rest] = record.split(";").map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ""));
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
