/** Tracking: what happened lately, delivered, bounced and proxied mail included; searched, or live. */
import { html, nothing } from "lit-html";
import { ApiError, get, listen } from "../api.js";
import { placeTo } from "../route.js";
import { timeline } from "./timeline.js";

const limit = 60;
const spans = /** @type {const} */ ([
  ["15m", "15 minutes"],
  ["1h", "hour"],
  ["6h", "6 hours"],
  ["1d", "day"],
  ["7d", "week"],
]);
const kinds = /** @type {const} */ ([
  ["", "everything"],
  ["message.accepted", "accepted"],
  ["message.refused", "refused"],
  ["delivery.delivered", "delivered"],
  ["delivery.deferred", "deferred"],
  ["delivery.rejected", "rejected"],
  ["proxy.transaction", "proxied"],
  ["dsn.made", "notifications"],
  ["message.dead", "dead"],
  ["admin.change", "changes by operators"],
]);

/** @type {{ stop: AbortController, events: any[], state: "connecting" | "open" | "lost", since: string | undefined } | undefined} */
let live;

/** @type {import("../main.js").View} */
export const tracking = {
  title: "Tracking",
  refreshMs: 15_000,
  async load({ query }, signal) {
    const { q, within = "1h", event, before } = query;
    if (q === undefined || q === "") {
      return get("/api/v1/events", { within, event, before, limit }, signal);
    }
    try {
      const trace = await get("/api/v1/trace", { q, limit: 100 }, signal);
      return { events: trace.events, next: null, more: trace.more };
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return { events: [], next: null, unknown: q };
      throw error;
    }
  },
  draw(page, context) {
    const { place, nowMs, redraw } = context;
    const shown = live === undefined ? page.events : live.events;
    return html`${searchForm(place)}
      <p class="actions">
        ${
          live === undefined
            ? html`<button @click=${() => start(place.query.event, redraw)}>Live</button>`
            : html`<button class="primary" @click=${() => stop(context.reload)}>Stop</button>`
        }
        <span role="status">${live === undefined ? "" : feedStates[live.state]}</span>
      </p>
      <section class="card" aria-label="Events">
        ${shown.length === 0 ? html`<p class="quiet">${live ? "Nothing happened yet." : page.unknown ? `Nothing is known of ${page.unknown}. Events are kept for some days only.` : "Nothing of this happened in that time."}</p>` : timeline(shown, nowMs, { linked: true })}
      </section>
      ${pages(page, place)}
      ${page.more ? html`<p class="quiet">There is more: name a message, or use <code>postern trace</code>.</p>` : nothing}`;
  },
  /** A new search ends what is live. */
  leave() {
    live?.stop.abort();
    live = undefined;
  },
};

/** @param {any} page @param {import("../route.js").Place} place */
function pages({ next }, { query }) {
  if (live !== undefined) return nothing;
  const latest = query.before
    ? html`<a href=${placeTo("tracking", "", { ...query, before: undefined })}>Latest</a>`
    : nothing;
  const earlier = next
    ? html`<a href=${placeTo("tracking", "", { ...query, before: next })}>Earlier</a>`
    : nothing;
  return html`<p class="pages">${latest} ${earlier}</p>`;
}

/** @param {import("../route.js").Place} place */
function searchForm({ query }) {
  /** @param {Event} event */
  const apply = (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (/** @type {HTMLElement} */ (event.target).closest("form"));
    location.hash = placeTo(
      "tracking",
      "",
      Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()])),
    );
  };
  const option = (/** @type {string} */ value, /** @type {string} */ name, /** @type {string} */ chosen) =>
    html`<option value=${value} ?selected=${value === chosen}>${name}</option>`;
  return html`<form class="filters card" role="search" @submit=${apply}>
    <label class="wide">Message <input type="search" name="q" .value=${query.q ?? ""} placeholder="queue id, address or <Message-ID>  ( / )" autocomplete="off"></label>
    <label>Events <select name="event" @change=${apply}>${kinds.map(([value, name]) => option(value, name, query.event ?? ""))}</select></label>
    <label>In the last <select name="within" @change=${apply}>${spans.map(([value, name]) => option(value, name, query.within ?? "1h"))}</select></label>
    <button type="submit" class="primary">Search</button>
    ${Object.keys(query).length > 0 ? html`<a href="#/tracking">Clear</a>` : nothing}
  </form>`;
}

const feedStates = {
  connecting: "Connecting …",
  open: "Live: the latest first.",
  lost: "The feed is interrupted; it is taken up again.",
};
const keptLive = 300;
const drawEveryMs = 500;
const retryMs = 3_000;

/** @param {string | undefined} event @param {() => void} redraw */
function start(event, redraw) {
  const feed = {
    stop: new AbortController(),
    events: /** @type {any[]} */ ([]),
    state: /** @type {"connecting" | "open" | "lost"} */ ("connecting"),
    since: /** @type {string | undefined} */ (undefined),
  };
  live = feed;
  let due = false;
  const drawSoon = () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      if (live === feed) redraw();
    }, drawEveryMs);
  };
  const follow = async () => {
    while (!feed.stop.signal.aborted) {
      // After an interruption it goes on with what happened meanwhile.
      const query = new URLSearchParams({
        ...(event ? { event } : {}),
        ...(feed.since ? { since: feed.since } : {}),
      });
      try {
        await listen(
          `/api/v1/events/stream?${query}`,
          (each) => {
            feed.since = each.eventId;
            feed.events = [each, ...feed.events].slice(0, keptLive);
            drawSoon();
          },
          ({ eventId }) => {
            feed.state = "open";
            feed.since = eventId;
            drawSoon();
          },
          feed.stop.signal,
        );
      } catch {
        if (feed.stop.signal.aborted) return;
        feed.state = "lost";
        drawSoon();
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  };
  void follow();
  redraw();
}

/** @param {() => void} reload  what came meanwhile is in the list, too */
function stop(reload) {
  live?.stop.abort();
  live = undefined;
  reload();
}
