/** The head of the page: where one can go. */
import { html, nothing } from "lit-html";
import { ref } from "lit-html/directives/ref.js";

const places = /** @type {const} */ ([
  ["overview", "Overview"],
  ["queue", "Queue"],
  ["destinations", "Destinations"],
  ["holds", "Holds"],
  ["dead", "Dead mail"],
  ["tracking", "Tracking"],
  ["tasks", "Tasks"],
  ["probe", "Probe"],
  ["configuration", "Configuration"],
]);

let current = "";

/** On a phone the row of views is wider than the screen: the shown one is moved into sight. @param {string} view */
function keepInSight(view) {
  if (view === current) return;
  current = view;
  queueMicrotask(() => {
    const link = document.querySelector("nav [aria-current]");
    link?.closest("nav")?.scrollTo({ left: Math.max(0, /** @type {HTMLElement} */ (link).offsetLeft - 60) });
  });
}

/**
 * @param {import("./route.js").Place} place
 * @param {boolean} hasToken
 * @param {() => void} forgetToken
 */
export function navigation(place, hasToken, forgetToken) {
  const shown = place.view === "message" ? "queue" : place.view;
  return html`<header ${ref(() => keepInSight(shown))}>
    <a class="brand" href="#/overview">Postern</a>
    <nav aria-label="Views">
      <ul>
        ${places.map(
          ([view, name]) =>
            html`<li><a href="#/${view}" aria-current=${view === shown ? "page" : nothing}>${name}</a></li>`,
        )}
      </ul>
    </nav>
    <ul class="aside">
      <li><a href="/queues">Raw queues</a></li>
      <li><a href="/openapi.json">API</a></li>
      ${hasToken ? html`<li><button class="link" @click=${forgetToken}>Forget the token</button></li>` : nothing}
    </ul>
  </header>`;
}
