/** Queued mail: search, filters, order, and changes of the selected messages or of all that match. */
import { html, nothing } from "lit-html";
import { get } from "../api.js";
import { changeMail } from "../change.js";
import { bytes, count } from "../format.js";
import { placeTo } from "../route.js";
import { importMail } from "./import-mail.js";
import { mailTable } from "./mail-table.js";

const pageSize = 100;
/** The order of the selection does not matter; it is kept while the filters stay. @type {Set<string>} */
const selected = new Set();
let selectedFor = "";

/** Filters of the API that stand in the address as they are. */
const filterNames = /** @type {const} */ ([
  "search",
  "status",
  "to",
  "from",
  "route",
  "error",
  "older",
  "queue",
]);

/** @param {import("../route.js").Place} place @returns {Record<string, string>} */
function filterOf({ query }) {
  return Object.fromEntries(filterNames.flatMap((name) => (query[name] ? [[name, query[name]]] : [])));
}

/** @type {import("../main.js").View} */
export const queue = {
  title: "Queue",
  refreshMs: 10_000,
  load({ query, ...place }, signal) {
    const { sort, cursor } = query;
    return get(
      "/api/v1/messages",
      { ...filterOf({ query, ...place }), sort, cursor, limit: pageSize },
      signal,
    );
  },
  draw(page, context) {
    const { place } = context;
    const filter = filterOf(place);
    const key = JSON.stringify(filter);
    if (key !== selectedFor) {
      selected.clear();
      selectedFor = key;
    }
    return html`${filterForm(place)}
      <div class="head">${totals(page, filter)} <button @click=${() => importMail(context.reload)}>Import</button></div>
      ${actions(page, filter, context)}
      ${mailTable(page.messages, context.nowMs, { selected, redraw: context.redraw })} ${pages(page, place)}`;
  },
};

const statuses = ["waiting", "active", "deferred", "held", "dead"];
const sorts = /** @type {const} */ ([
  ["", "by due time"],
  ["oldest", "oldest first"],
  ["newest", "newest first"],
  ["next", "next attempt first"],
  ["attempts", "most attempts first"],
  ["largest", "largest first"],
]);

/** @param {import("../route.js").Place} place */
function filterForm({ query }) {
  /** @param {Event} event */
  const apply = (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (/** @type {HTMLElement} */ (event.target).closest("form"));
    const fields = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, String(value).trim()]),
    );
    location.hash = placeTo("queue", "", fields);
  };
  const option = (
    /** @type {string} */ value,
    /** @type {string} */ name,
    /** @type {string | undefined} */ chosen,
  ) => html`<option value=${value} ?selected=${value === (chosen ?? "")}>${name}</option>`;
  const field = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ hint) =>
    html`<label>${label} <input name=${name} .value=${query[name] ?? ""} placeholder=${hint} autocomplete="off"></label>`;
  const more = ["to", "from", "route", "error", "older"].some((name) => query[name]);
  return html`<form class="filters card" role="search" @submit=${apply}>
    <label class="wide">Search <input type="search" name="search" .value=${query.search ?? ""} placeholder="address, id, Message-ID, reason  ( / )" autocomplete="off"></label>
    <label>Status <select name="status" @change=${apply}>${option("", "any", query.status)}${statuses.map((name) => option(name, name, query.status))}</select></label>
    <label>Order <select name="sort" @change=${apply}>${sorts.map(([value, name]) => option(value, name, query.sort))}</select></label>
    <button type="submit" class="primary">Search</button>
    <details ?open=${more}><summary>More filters</summary>
      ${field("to", "Recipient", "*@example.com")} ${field("from", "Sender", "ann@example.net or <>")}
      ${field("route", "Route", "a part of it")} ${field("error", "Last reason", "a part of it")}
      ${field("older", "Older than", "30m, 2h, 5d")}
    </details>
    ${Object.keys(query).length > 0 ? html`<a href="#/queue">Clear</a>` : nothing}
  </form>`;
}

/** @param {any} page @param {Record<string, string>} filter */
function totals({ totals: all, asOf }, filter) {
  if (all === null) return html`<p class="quiet" role="status">Counting …</p>`;
  const parts = Object.entries(all.statuses)
    .filter(([, value]) => Number(value) > 0)
    .map(([name, value]) => `${count(Number(value))} ${name}`);
  const what = Object.keys(filter).length > 0 ? "match" : "in the queues";
  return html`<p role="status"><strong>${count(all.matched)}</strong> ${what}${parts.length > 0 ? `: ${parts.join(", ")}` : ""}; ${bytes(all.size)}
    ${asOf === null ? nothing : html`<span class="quiet">as of ${new Date(asOf).toLocaleTimeString("en-GB")}</span>`}</p>`;
}

/** @param {any} page @param {Record<string, string>} filter @param {import("../main.js").Context} context */
function actions(page, filter, { reload }) {
  if (page.messages.length === 0) return nothing;
  const ids = [...selected];
  const all = Object.keys(filter).length === 0;
  /** @type {import("../change.js").Selection} */
  const selection = ids.length > 0 ? { ids } : all ? { all: true } : { filter };
  const whom = ids.length > 0 ? `${count(ids.length)} selected` : all ? "All mail" : "All that match";
  const changed = () => {
    selected.clear();
    reload();
  };
  const button = (
    /** @type {import("../change.js").Action} */ action,
    /** @type {string} */ name,
    kind = "",
  ) => html`<button class=${kind} @click=${() => changeMail(action, selection, changed)}>${name}</button>`;
  return html`<p class="actions" role="group" aria-label="Change ${whom}"><span>${whom}:</span>
    ${button("retry", "Retry now")} ${button("hold", "Hold")} ${button("release", "Release")} ${button("reroute", "Reroute")}
    ${button("remove", "Remove", "danger")}</p>`;
}

/** @param {any} page @param {import("../route.js").Place} place */
function pages({ next }, { query }) {
  const first = query.cursor
    ? html`<a href=${placeTo("queue", "", { ...query, cursor: undefined })}>First page</a>`
    : nothing;
  const following =
    next === null ? nothing : html`<a href=${placeTo("queue", "", { ...query, cursor: next })}>Next page</a>`;
  return html`<p class="pages">${first} ${following}</p>`;
}
