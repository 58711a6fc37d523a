/** Destinations with waiting mail, and one of them: why it is slow, and what can be done. */
import { html, nothing } from "lit-html";
import { get } from "../api.js";
import { changeMail } from "../change.js";
import { clock, count, plural, since, until } from "../format.js";
import { placeTo } from "../route.js";
import { mailTable } from "./mail-table.js";
import { ageMatrix, reasonTable } from "./summary.js";

const shown = 200;

/** @type {import("../main.js").View} */
export const destinations = {
  title: "Destinations",
  refreshMs: 10_000,
  async load({ rest }, signal) {
    if (rest === "")
      return { all: await get("/api/v1/queues/summary", { by: "destination", limit: shown }, signal) };
    const [facts, mail] = await Promise.all([
      get(`/api/v1/destinations/${encodeURIComponent(rest)}`, {}, signal),
      get("/api/v1/messages", { to: `*@${rest}`, sort: "oldest", limit: 20 }, signal),
    ]);
    return { facts, mail };
  },
  draw({ all, facts, mail }, context) {
    const { place, nowMs } = context;
    if (all !== undefined) {
      return html`<section class="card" aria-label="Destinations">${ageMatrix(all, (key) => placeTo("destinations", key), nowMs)}</section>`;
    }
    return one(place.rest, { facts, mail }, context);
  },
};

/** @param {string} name @param {{ facts: any, mail: any }} data @param {import("../main.js").Context} context */
function one(name, { facts, mail }, { nowMs, reload }) {
  /** @type {import("../change.js").Selection} */
  const selection = { filter: { to: `*@${name}` } };
  const button = (
    /** @type {import("../change.js").Action} */ action,
    /** @type {string} */ text,
    kind = "",
  ) => html`<button class=${kind} @click=${() => changeMail(action, selection, reload)}>${text}</button>`;
  return html`
    <h2 class="name">${name} <span class="quiet">${plural(facts.waiting.messages, "message")} waiting${facts.waiting.held > 0 ? `, ${count(facts.waiting.held)} of them held` : ""}</span></h2>
    <p class="actions" role="group" aria-label="Change the mail to ${name}">
      ${button("retry", "Retry now")} ${button("hold", "Hold")} ${button("release", "Release")} ${button("reroute", "Reroute")} ${button("remove", "Remove", "danger")}
      <a href=${placeTo("queue", "", { to: `*@${name}` })}>All its mail</a> <a href=${placeTo("probe", "", { address: `postmaster@${name}` })}>Probe it</a>
    </p>
    ${whySlow(facts)} ${limitFacts(facts, nowMs)}
    <section class="card" aria-labelledby="why"><h2 id="why">Why its mail waits</h2>${reasonTable({ groups: facts.reasons.length, ...facts, rows: facts.reasons }, nowMs)}</section>
    <section aria-labelledby="oldest"><h2 id="oldest">The oldest</h2>${mailTable(mail.messages, nowMs)}</section>`;
}

/** @param {any} facts */
function whySlow({ why }) {
  if (why.length === 0) return nothing;
  return html`<div class="banner warn"><strong>Why it is slow</strong>
    <ul>${why.map((/** @type {string} */ each) => html`<li>${each}</li>`)}</ul></div>`;
}

/** @param {any} facts  of GET /api/v1/destinations/NAME @param {number} nowMs */
function limitFacts({ limits, connections, slots, learnt, dead, waiting }, nowMs) {
  const rows = [
    ["Connections in use", `${count(connections)} of ${count(learnt?.connections ?? limits.connections)}`],
    [
      "Used by",
      slots.length === 0
        ? "nobody now"
        : slots
            .map(
              (/** @type {any} */ slot) =>
                `${slot.host ?? "?"} ${slot.pid ?? ""}: ${plural(slot.connections, "connection")}`,
            )
            .join("; "),
    ],
    ["Messages for each connection", count(limits.messagesPerConnection)],
    ["Rate limit", limits.rate ?? "none"],
    ...(learnt === null
      ? []
      : [
          [
            "Limit learnt from the server",
            `${learnt.connections} of ${limits.connections}, since ${clock(learnt.since, nowMs)}`,
          ],
        ]),
    ...(dead === null
      ? []
      : [
          [
            "No host answers",
            `${dead.reason}; last tried ${since(dead.lastAttemptAt, nowMs)} ago, again ${until(dead.until, nowMs)}`,
          ],
        ]),
    [
      "Oldest message",
      waiting.oldestAt === null
        ? "–"
        : `${since(waiting.oldestAt, nowMs)}, since ${clock(waiting.oldestAt, nowMs)}`,
    ],
  ];
  return html`<dl class="facts card">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
