/** The head of the page: where one can go. */
import { html, nothing } from "lit-html";

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

/**
 * @param {import("./route.js").Place} place
 * @param {boolean} hasToken
 * @param {() => void} forgetToken
 */
export function navigation(place, hasToken, forgetToken) {
  const shown = place.view === "message" ? "queue" : place.view;
  return html`<header>
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
