/** Destinations with waiting mail, and one of them: why it is slow, and what can be done. */
import { html, nothing } from "lit-html";
import { get } from "../api.js";
import { changeMail } from "../change.js";
import { clock, count, plural, since, until } from "../format.js";
import { placeTo } from "../route.js";
import { mailTable } from "./mail-table.js";
import { ageMatrix, reasonTable } from "./summary.js";

const shown = 200;
/** Those with the most mail; the table of ages has more. */
const shownNow = 50;

/** @type {import("../main.js").View} */
export const destinations = {
  title: "Destinations",
  refreshMs: 10_000,
  async load({ rest }, signal) {
    if (rest === "") {
      const [list, all] = await Promise.all([
        get("/api/v1/destinations", { limit: shownNow }, signal),
        get("/api/v1/queues/summary", { by: "destination", limit: shown }, signal),
      ]);
      return { list, all };
    }
    const [facts, mail] = await Promise.all([
      get(`/api/v1/destinations/${encodeURIComponent(rest)}`, {}, signal),
      get("/api/v1/messages", { to: `*@${rest}`, sort: "oldest", limit: 20 }, signal),
    ]);
    return { facts, mail };
  },
  draw({ list, all, facts, mail }, context) {
    const { place, nowMs } = context;
    if (all !== undefined) {
      return html`<section class="card" aria-labelledby="now"><h2 id="now">Now</h2>${destinationTable(list, nowMs)}</section>
        <section class="card" aria-labelledby="ages"><h2 id="ages">Waiting mail by age</h2>${ageMatrix(all, (key) => placeTo("destinations", key), nowMs)}</section>`;
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
    <div class="columns">${connectionsNow(facts)} ${deadHostTable(facts, nowMs)}</div>
    <section class="card" aria-labelledby="why"><h2 id="why">Why its mail waits</h2>${reasonTable({ groups: facts.reasons.length, ...facts, rows: facts.reasons }, nowMs)}</section>
    ${lastReplies(facts, nowMs)}
    <section aria-labelledby="oldest"><h2 id="oldest">The oldest</h2>${mailTable(mail.messages, nowMs)}</section>`;
}

/** @param {any} facts */
function whySlow({ why }) {
  if (why.length === 0) return nothing;
  return html`<div class="banner warn"><strong>Why it is slow</strong>
    <ul>${why.map((/** @type {string} */ each) => html`<li>${each}</li>`)}</ul></div>`;
}

/** @param {any} facts  of GET /api/v1/destinations/NAME @param {number} nowMs */
function limitFacts({ nextHop, countedAs, name, limits, rateInUse, connections, learnt, waiting }, nowMs) {
  const goesTo = nextHop === null || nextHop === `mx ${name}` ? "its own MX" : nextHop;
  const rate =
    limits.rate === null || rateInUse === null
      ? "none"
      : `${limits.rate}: ${count(rateInUse.used)} of ${count(rateInUse.of)} used${rateInUse.nextAt === null ? "" : `, the next ${until(rateInUse.nextAt, nowMs)}`}`;
  const rows = [
    ["Its mail goes to", goesTo],
    [
      "Connections in use",
      `${count(connections)} of ${count(learnt?.connections ?? limits.connections)}${countedAs === name ? "" : `, counted as ${countedAs}`}`,
    ],
    ["Messages for each connection", count(limits.messagesPerConnection)],
    ["Rate limit", rate],
    ...(learnt === null
      ? []
      : [
          [
            "Limit learnt from the server",
            `${learnt.connections} of ${limits.connections}, since ${clock(learnt.since, nowMs)}`,
          ],
        ]),
    [
      "Oldest message",
      waiting.oldestAt === null
        ? "–"
        : `${since(waiting.oldestAt, nowMs)}, since ${clock(waiting.oldestAt, nowMs)}`,
    ],
  ];
  return html`<dl class="facts card">${rows.map(([title, value]) => html`<div><dt>${title}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {any} facts */
function connectionsNow({ slots, phases }) {
  return html`<section class="card" aria-labelledby="connections"><h2 id="connections">Connections now</h2>
    ${
      slots.length === 0 && Object.keys(phases).length === 0
        ? html`<p class="quiet">None.</p>`
        : html`<p>${phaseList(phases)}</p>`
    }
    ${
      slots.length === 0
        ? nothing
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Processes with connections"><table>
            <thead><tr><th scope="col">Process</th><th scope="col" class="number">Connections</th><th scope="col">What they do</th></tr></thead>
            <tbody>${slots.map(
              (/** @type {any} */ slot) => html`<tr>
                <th scope="row">${slot.host ?? "?"} ${slot.pid ?? ""}</th>
                <td class="number">${count(slot.connections)}</td><td>${phaseList(slot.phases)}</td>
              </tr>`,
            )}</tbody>
          </table></div>`
    }</section>`;
}

/** As `postern destination` says them. @type {Record<string, string>} */
const phaseWords = {
  waiting: "waiting for one",
  tls: "in TLS handshake",
  auth: "logging in",
  greeting: "awaiting greeting",
  transaction: "sending",
};

/** @param {Record<string, number>} phases */
function phaseList(phases) {
  const parts = Object.entries(phases);
  if (parts.length === 0) return html`<span class="quiet wide-only">–</span>`;
  return parts.map(
    ([phase, number]) =>
      html`<span class="phase ${phase}">${count(number)} ${phaseWords[phase] ?? phase}</span> `,
  );
}

/** @param {any} facts @param {number} nowMs */
function deadHostTable({ deadHosts }, nowMs) {
  return html`<section class="card" aria-labelledby="dead-hosts"><h2 id="dead-hosts">Hosts that do not answer</h2>
    ${
      deadHosts.length === 0
        ? html`<p class="quiet">None.</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Hosts that do not answer"><table class="mail">
          <thead><tr><th scope="col">Hosts</th><th scope="col">Reason</th><th scope="col" class="number">For</th><th scope="col" class="number">Again</th></tr></thead>
          <tbody>${deadHosts.map(
            (/** @type {any} */ dead) => html`<tr>
              <th scope="row" class="address">${dead.hosts}</th><td class="reason">${dead.reason}</td>
              <td class="number" data-label="for">${since(dead.since ?? dead.lastAttemptAt, nowMs)}</td><td class="number" data-label="again">${until(dead.until, nowMs)}</td>
            </tr>`,
          )}</tbody>
        </table></div>`
    }</section>`;
}

/** @param {any} facts @param {number} nowMs */
function lastReplies({ lastDelivered }, nowMs) {
  return html`<section class="card" aria-labelledby="took"><h2 id="took">The last mail that it took</h2>
    ${
      lastDelivered.length === 0
        ? html`<p class="quiet">None among the latest events.</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-label="The last mail that it took"><table class="mail">
          <thead><tr><th scope="col" class="number">Ago</th><th scope="col">Id</th><th scope="col">To</th><th scope="col">Server</th><th scope="col">Reply</th></tr></thead>
          <tbody>${lastDelivered.map(
            (/** @type {any} */ each) => html`<tr>
              <td class="number" data-label="ago">${since(each.at, nowMs)}</td>
              <td class="code"><a href=${placeTo("message", each.id)}>${each.id}</a></td>
              <td class="address">${each.to}</td><td class="address">${each.remote}</td><td class="reason">${each.reply}</td>
            </tr>`,
          )}</tbody>
        </table></div>`
    }</section>`;
}

/** Those with mail, with connections, or with hosts that do not answer. @param {any} list @param {number} nowMs */
function destinationTable({ destinations: rows, all }, nowMs) {
  if (rows.length === 0)
    return html`<p class="quiet">No destination has mail, connections, or hosts that do not answer.</p>`;
  const hidden = all - rows.length;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Destinations now"><table class="mail">
    <thead><tr><th scope="col">Destination</th><th scope="col" class="number">Mail</th><th scope="col" class="number">Held</th><th scope="col" class="number">Oldest</th><th scope="col">Connections</th><th scope="col">No answer</th></tr></thead>
    <tbody>${rows.map(
      (/** @type {any} */ row) => html`<tr>
        <th scope="row" class="address"><a href=${placeTo("destinations", row.name)}>${row.name}</a></th>
        <td class=${row.messages === 0 ? "number zero" : "number"} data-label="mail">${count(row.messages)}</td>
        <td class=${row.held === 0 ? "number zero" : "number"} data-label="held">${count(row.held)}</td>
        <td class="number" data-label="oldest">${since(row.oldestAt, nowMs)}</td>
        <td>${phaseList(row.phases)}</td>
        <td class="reason">${row.dead === null ? html`<span class="quiet wide-only">–</span>` : html`<span class="state bad">${row.dead.since === null ? "now" : `for ${since(row.dead.since, nowMs)}`}</span> ${row.dead.reason}`}</td>
      </tr>`,
    )}</tbody>
  </table></div>
  ${hidden > 0 ? html`<p class="quiet">and ${plural(hidden, "other destination")}</p>` : nothing}`;
}
