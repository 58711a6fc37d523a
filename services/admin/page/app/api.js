/** Requests of the page to the admin's API. The token stays in this tab's session storage. */

const tokenKey = "postern.token";

/** An answer that is no success. */
export class ApiError extends Error {
  /**
   * @param {number} status  of HTTP; 0 when nothing answered
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** @returns {string | null} */
export function token() {
  return sessionStorage.getItem(tokenKey);
}

/** @param {string | null} value  null forgets it */
export function setToken(value) {
  if (value === null || value === "") sessionStorage.removeItem(tokenKey);
  else sessionStorage.setItem(tokenKey, value);
}

/** A header field is octets: a token beyond ASCII is sent as UTF-8. @returns {Record<string, string>} */
function authorization() {
  const given = token();
  if (given === null) return {};
  const octets = Array.from(new TextEncoder().encode(given), (octet) => String.fromCharCode(octet));
  return { authorization: `Bearer ${octets.join("")}` };
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 * @throws {ApiError}
 */
async function send(path, init = {}) {
  let response;
  try {
    response = await fetch(path, {
      credentials: "same-origin",
      ...init,
      headers: { ...authorization(), .../** @type {Record<string, string>} */ (init.headers ?? {}) },
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The admin does not answer.");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(response.status, body.detail ?? `HTTP status ${response.status}`);
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} [query]  entries without a value are left out
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, query = {}, signal) {
  return (await send(withQuery(path, query), signal ? { signal } : {})).json();
}

/** @param {string} path @param {Record<string, string | number | undefined>} query */
function withQuery(path, query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text === "" ? path : `${path}?${text}`;
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} query
 * @param {Blob} mailbox
 * @returns {Promise<any>}
 */
export async function postMailbox(path, query, mailbox) {
  const init = { method: "POST", headers: { "content-type": "application/mbox" }, body: mailbox };
  return (await send(withQuery(path, query), init)).json();
}

/**
 * @param {string} path
 * @param {unknown} body
 * @returns {Promise<any>}
 */
export async function post(path, body) {
  const init = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  return (await send(path, init)).json();
}

/** @param {string} path @returns {Promise<any>} */
export async function remove(path) {
  return (await send(path, { method: "DELETE" })).json();
}

/** @param {string} path @returns {Promise<Blob>} */
export async function download(path) {
  return (await send(path)).blob();
}

/**
 * Server-sent events by fetch(), since EventSource sends no token. Ends with the signal; an interruption throws.
 * @param {string} path
 * @param {(event: any) => void} onEvent  gets the parsed data of each
 * @param {(place: { eventId: string }) => void} onOpen  gets where the feed begins
 * @param {AbortSignal} signal
 */
export async function listen(path, onEvent, onOpen, signal) {
  const response = await send(path, { signal, headers: { accept: "text/event-stream" } });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) throw new ApiError(0, "The live feed has ended.");
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const lines = block.split(/\r?\n/);
      // One with a name is about the feed itself: it is open now.
      const isEvent = !lines.some((line) => line.startsWith("event:"));
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length === 0) continue;
      const parsed = JSON.parse(data.join("\n"));
      if (isEvent) onEvent(parsed);
      else onOpen(parsed);
    }
  }
}
