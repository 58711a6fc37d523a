/** The place of the page in its address: `#/queue?status=deferred`. Pure: the tests run it in Node. */

/**
 * @typedef {object} Place
 * @property {string} view    the first word: `queue`
 * @property {string} rest    what follows it, decoded: the id of a message
 * @property {Record<string, string>} query
 */

/** @param {string} hash  as location.hash has it @returns {Place} */
export function parsePlace(hash) {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view = "", ...rest] = path.split("/");
  return {
    view: view === "" ? "overview" : view,
    rest: decode(rest.join("/")),
    query: Object.fromEntries(new URLSearchParams(search)),
  };
}

/**
 * @param {string} view
 * @param {string} [rest]
 * @param {Record<string, string | undefined>} [query]  entries without a value are left out
 */
export function placeTo(view, rest = "", query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const path = rest === "" ? view : `${view}/${encodeURIComponent(rest)}`;
  const text = search.toString();
  return `#/${path}${text === "" ? "" : `?${text}`}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
