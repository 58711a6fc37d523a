/** The attempts at one message, recipient by recipient, and the notifications about it. */
import { html, nothing } from "lit-html";
import { clock, some } from "../format.js";
import { placeTo } from "../route.js";

/** @param {any} detail  of GET /api/v1/messages/ID @param {number} nowMs */
export function history({ attempts, notifications }, nowMs) {
  return html`${attempts.length === 0 ? nothing : attemptTable(attempts, nowMs)}
    ${notifications.length === 0 ? nothing : notificationList(notifications, nowMs)}`;
}

const tones = { delivered: "good", deferred: "deferred", rejected: "bad" };

/** @param {any[]} attempts @param {number} nowMs */
function attemptTable(attempts, nowMs) {
  const byRecipient = attempts.toSorted((a, b) => a.to.localeCompare(b.to) || a.at.localeCompare(b.at));
  return html`<section aria-labelledby="attempts" class="card"><h2 id="attempts">Attempts</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of attempts"><table class="mail">
      <thead><tr><th scope="col">Recipient</th><th scope="col" class="number">No.</th><th scope="col">At</th><th scope="col">Outcome</th><th scope="col">Server</th><th scope="col">TLS</th><th scope="col" class="number">Took</th><th scope="col">Answer</th></tr></thead>
      <tbody>${byRecipient.map(
        (each, index) => html`<tr>
          <th scope="row" class="address">${byRecipient[index - 1]?.to === each.to ? html`<span class="unseen">${each.to}</span>` : each.to}</th>
          <td class="number" data-label="no.">${each.attempt}</td><td>${clock(each.at, nowMs)}</td>
          <td><span class="state ${tones[/** @type {keyof typeof tones} */ (each.outcome)]}">${each.outcome}</span></td>
          <td class="address">${each.remote ?? each.nextHop ?? "–"}</td>
          <td data-label="TLS">${each.tls ?? "–"}</td><td class="number">${each.ms === undefined ? "–" : `${each.ms} ms`}</td>
          <td class="reason">${each.reply ?? each.reason ?? "–"}</td>
        </tr>`,
      )}</tbody>
    </table></div>
  </section>`;
}

/** @param {any[]} notifications @param {number} nowMs */
function notificationList(notifications, nowMs) {
  return html`<section aria-labelledby="notifications" class="card"><h2 id="notifications">Notifications to the sender</h2>
    <ul class="plain">${notifications.map(
      ({ at, id, kind, to, recipients }) =>
        html`<li>${clock(at, nowMs)}: <a class="code" href=${placeTo("message", id)}>${id}</a>, ${kind}, to ${to}, about ${some(recipients)}</li>`,
    )}</ul>
  </section>`;
}
