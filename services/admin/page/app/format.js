/** Numbers, times and addresses as people read them. Pure: the tests run it in Node. */

const units = /** @type {const} */ ([
  [86_400, "d"],
  [3_600, "h"],
  [60, "m"],
]);

/**
 * `45s`, `7m`, `3h`, `2d`; the unit below follows while the number is small: `3h 20m`.
 * @param {number} ms
 */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  for (const [index, [size, unit]] of units.entries()) {
    if (seconds < size) continue;
    const whole = Math.floor(seconds / size);
    const [below, belowUnit] = units[index + 1] ?? [1, "s"];
    const rest = Math.floor((seconds % size) / below);
    return whole < 10 && rest > 0 ? `${whole}${unit} ${rest}${belowUnit}` : `${whole}${unit}`;
  }
  return `${seconds}s`;
}

/** @param {string | null | undefined} iso @param {number} nowMs */
export function since(iso, nowMs) {
  return iso === null || iso === undefined ? "–" : age(nowMs - Date.parse(iso));
}

/** @param {string | null | undefined} iso  in the future; "now" when it is past @param {number} nowMs */
export function until(iso, nowMs) {
  if (iso === null || iso === undefined) return "–";
  const leftMs = Date.parse(iso) - nowMs;
  return leftMs <= 0 ? "now" : `in ${age(leftMs)}`;
}

/** The time of day, with the date when it is another day. @param {string} iso @param {number} nowMs */
export function clock(iso, nowMs) {
  const date = new Date(iso);
  const time = date.toLocaleTimeString("en-GB");
  if (date.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/** @param {number | null | undefined} value */
export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

/** Short enough for a tile: `950`, `12.3k`, `1.2M`. @param {number | null | undefined} value */
export function short(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10_000) return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 100_000 ? 1 : 0)}k`;
  return `${(value / 1_000_000).toFixed(1)}M`;
}

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const names = ["B", "KB", "MB", "GB", "TB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < names.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${scaled >= 10 || unit === 0 ? Math.round(scaled) : scaled.toFixed(1)} ${names[unit]}`;
}

/** The reverse-path. @param {string} address */
export function sender(address) {
  return address === "" ? "<>" : address;
}

/** @param {readonly string[]} list @param {number} [shown] */
export function some(list, shown = 2) {
  const more = list.length - shown;
  return more > 0 ? `${list.slice(0, shown).join(", ")} and ${more} more` : list.join(", ");
}

/** @param {number} number @param {string} one @param {string} [many] */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
