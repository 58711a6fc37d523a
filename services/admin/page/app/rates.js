/** Rates for the plot and its readout. Pure: the tests run it in Node. */

/**
 * Messages in the minute that ended at each bucket, so that a curve has the unit of the table below it.
 * @param {readonly number[]} counts  of each bucket, oldest first
 * @param {number} bucketSeconds
 * @returns {(number | null)[]} null where nothing of the kind happened in the whole time: no line is drawn
 */
export function trailingMinute(counts, bucketSeconds) {
  if (counts.every((each) => each === 0)) return counts.map(() => null);
  const width = Math.max(1, Math.round(60 / bucketSeconds));
  let sum = 0;
  return counts.map((each, index) => {
    sum += each - (counts[index - width] ?? 0);
    return sum;
  });
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
