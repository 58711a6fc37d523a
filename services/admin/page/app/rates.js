/** Rates for the plot and its readout. Pure: the tests run it in Node. */

/**
 * Messages in the minute that ended at each bucket, so that a curve has the unit of the table below it.
 * @param {readonly (number | null)[]} counts  of each bucket, oldest first; null where nobody counted
 * @param {number} bucketSeconds
 * @returns {(number | null)[]} null is a gap: where nobody counted, and everywhere when nothing of the kind happened
 */
export function trailingMinute(counts, bucketSeconds) {
  if (counts.every((each) => each === null || each === 0)) return counts.map(() => null);
  const width = Math.max(1, Math.round(60 / bucketSeconds));
  let sum = 0;
  return counts.map((each, index) => {
    sum += (each ?? 0) - (counts[index - width] ?? 0);
    return each === null ? null : sum;
  });
}

/**
 * Sessions a minute by routing row over the last minutes; the busiest of the longest time first. `opaque` counts sessions of
 * the others once more, and is no row.
 * @param {readonly { rows: Record<string, number> }[]} buckets  oldest first
 * @param {number} bucketSeconds
 * @param {readonly number[]} spans  minutes, the longest last
 * @returns {{ rows: { name: string, rates: number[] }[], opaque: number[] }}
 */
export function sessionRates(buckets, bucketSeconds, spans) {
  const names = [...new Set(buckets.flatMap(({ rows }) => Object.keys(rows)))];
  const ratesOf = (/** @type {string} */ name) =>
    spans.map((minutes) => {
      const some = buckets.slice(-Math.round((minutes * 60) / bucketSeconds));
      const sum = some.reduce((total, { rows }) => total + (rows[name] ?? 0), 0);
      return Math.round((sum / minutes) * 10) / 10;
    });
  const rows = names.filter((name) => name !== "opaque").map((name) => ({ name, rates: ratesOf(name) }));
  rows.sort((a, b) => (b.rates.at(-1) ?? 0) - (a.rates.at(-1) ?? 0) || (a.name < b.name ? -1 : 1));
  return { rows, opaque: ratesOf("opaque") };
}

/** The ages of qshape's columns, as people say them. @param {string} name  `160m`, `older` @returns {string} */
export function ageLabel(name) {
  const minutes = Number(/^(\d+)m$/.exec(name)?.[1] ?? Number.NaN);
  if (Number.isNaN(minutes)) return name;
  if (minutes < 60) return `${minutes}m`;
  const rest = minutes % 60;
  return rest === 0 ? `${minutes / 60}h` : `${Math.floor(minutes / 60)}h ${rest}m`;
}

/**
 * What finds the mail of a group of reasons: the longest part of its words without ids, addresses and numbers.
 * @param {string} text  in which … stands for these
 */
export function searchablePart(text) {
  const parts = text.split("…").map((part) => part.trim());
  return parts.reduce((longest, part) => (part.length > longest.length ? part : longest), "");
}
