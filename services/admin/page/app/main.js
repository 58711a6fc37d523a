/** The page: finds the view that the address names, loads its facts again and again, and draws it. */
import { html, nothing, render } from "lit-html";
import { ApiError, setToken, token } from "./api.js";
import { dialogs } from "./dialog.js";
import { clock } from "./format.js";
import { navigation } from "./navigation.js";
import { parsePlace } from "./route.js";
import { toasts } from "./toast.js";
import { tokenForm } from "./token-form.js";
import { views } from "./views/views.js";

/**
 * @typedef {import("./route.js").Place} Place
 * @typedef {object} Context
 * @property {Place} place
 * @property {number} nowMs
 * @property {() => void} redraw  draws again what is loaded
 * @property {() => void} reload  loads now and draws
 * @typedef {object} View
 * @property {string} title
 * @property {number} refreshMs  between two loads
 * @property {(place: Place, signal: AbortSignal) => Promise<any>} load
 * @property {(data: any, context: Context) => unknown} draw
 * @property {() => void} [leave]  ends what the view keeps
 */

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
let place = parsePlace(location.hash);
/** @type {any} */
let data;
/** @type {number | undefined} */
let loadedAtMs;
/** @type {ApiError | undefined} */
let failure;
let loading = new AbortController();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

function currentView() {
  return views[place.view] ?? views.overview;
}

/** @param {boolean} [fresh]  a new place: what the old one had is not shown */
async function load(fresh = false) {
  clearTimeout(timer);
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const view = currentView();
  if (fresh) {
    data = undefined;
    failure = undefined;
    draw();
  }
  try {
    const loaded = await view.load(place, signal);
    if (signal.aborted) return;
    data = loaded;
    loadedAtMs = Date.now();
    failure = undefined;
  } catch (error) {
    if (signal.aborted) return;
    failure = error instanceof ApiError ? error : new ApiError(0, String(error));
    if (!(error instanceof ApiError)) console.error(error);
  }
  draw();
  timer = setTimeout(() => void load(), document.hidden ? view.refreshMs * 6 : view.refreshMs);
}

function draw() {
  const view = currentView();
  document.title = `${view.title} – Postern`;
  const context = { place, nowMs: Date.now(), redraw: draw, reload: () => void load() };
  // A token that has ended: what the page had stays below the question.
  const needsToken = failure?.status === 401;
  render(
    html`
      <a class="skip" href="#main">Skip to the content</a>
      ${navigation(place, token() !== null, forgetToken)}
      <main id="main" tabindex="-1">
        <h1>${view.title}</h1>
        ${failure && !needsToken ? stale(failure) : nothing}
        ${needsToken ? tokenForm(failure, () => void load(true)) : nothing}
        ${data === undefined ? (failure ? nothing : html`<p class="quiet" role="status">Loading …</p>`) : view.draw(data, context)}
      </main>
      ${dialogs(draw)} ${toasts(draw)}
    `,
    root,
  );
}

/** What is on the page is older than it should be. @param {ApiError} error */
function stale(error) {
  const asOf =
    data === undefined || loadedAtMs === undefined
      ? ""
      : ` Shown is what was at ${clock(new Date(loadedAtMs).toISOString(), Date.now())}.`;
  return html`<p class="banner bad" role="alert">${error.message}${asOf} The page tries again by itself.</p>`;
}

function forgetToken() {
  setToken(null);
  void load(true);
}

addEventListener("hashchange", () => {
  // The skip link is no place.
  if (location.hash === "#main") return;
  const before = place;
  currentView().leave?.();
  place = parsePlace(location.hash);
  const samePlace = before.view === place.view && before.rest === place.rest;
  void load(!samePlace);
  if (!samePlace) {
    scrollTo(0, 0);
    document.getElementById("main")?.focus({ preventScroll: true });
  }
});
addEventListener("visibilitychange", () => {
  if (!document.hidden) void load();
});
addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key !== "/" || target.matches("input, textarea, select") || event.ctrlKey || event.metaKey)
    return;
  const search = /** @type {HTMLInputElement | null} */ (document.querySelector("input[type=search]"));
  if (search === null) return;
  event.preventDefault();
  search.focus();
});

void load(true);
