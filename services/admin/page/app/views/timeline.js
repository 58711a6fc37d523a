/** What happened, oldest first, one line each. */
import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { clock } from "../format.js";
import { placeTo } from "../route.js";

/**
 * @param {any[]} events  of GET /api/v1/trace or /api/v1/events
 * @param {number} nowMs
 * @param {{ linked?: boolean, of?: string }} [options]  linked: each with the id of its message; of: the queue id whose
 *   timeline it is, events of its notifications name these
 */
export function timeline(events, nowMs, { linked = false, of } = {}) {
  return html`<ol class="timeline">
    ${repeat(
      events,
      ({ eventId }) => eventId,
      (event) => html`<li class=${toneOf(event.event)}>
        <time datetime=${event.at}>${clock(event.at, nowMs)}</time>
        <span class="label">${event.label}</span>
        <span class="text">${linked && event.id ? html`<a class="code" href=${placeTo("message", event.id)}>${event.id}</a> ` : nothing}${isOfNotification(event, of) ? `DSN ${event.id}: ` : ""}${withoutSession(event)} ${session(event)}
          ${event.dsnId ? html`<a class="code" href=${placeTo("message", event.dsnId)}>its timeline</a>` : nothing}</span>
      </li>`,
    )}
  </ol>`;
}

/** @param {any} event @param {string | undefined} of */
function isOfNotification({ id, event }, of) {
  return of !== undefined && id !== undefined && id !== of && event !== "dsn.made";
}

/** The text without what session() says. @param {any} event */
function withoutSession({ tls, text }) {
  return tls === undefined
    ? text
    : text.replace(/ \([^()]*\bms\)(?=$|, next attempt|, MAIL |, RCPT |, from )/, "");
}

/** TLS as it was wanted and as it became, and how long the attempt took. @param {any} event */
function session({ tls, tlsFailure, ms }) {
  if (tls === undefined) return nothing;
  const got = tls.protocol ? `${tls.protocol}${tls.verified ? ", verified" : ""}` : "in clear text";
  return html`<span class="facts-line">
    <span>TLS wanted: ${tls.policy ?? "–"}</span>
    <span class=${tls.protocol ? "good" : ""}>got: ${got}</span>
    ${tlsFailure === undefined ? nothing : html`<span class="bad">STARTTLS failed: ${tlsFailure}</span>`}
    ${typeof ms === "number" ? html`<span>${ms} ms</span>` : nothing}</span>`;
}

/** @type {Record<string, string>} */
const tones = {
  "delivery.delivered": "good",
  "message.settled": "good",
  "delivery.deferred": "warn",
  "message.held": "warn",
  "delivery.rejected": "bad",
  "message.refused": "bad",
  "message.dead": "bad",
  "dsn.made": "warn",
};

/** @param {string} name */
function toneOf(name) {
  return tones[name] ?? "plain";
}
