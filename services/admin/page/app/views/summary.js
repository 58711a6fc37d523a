/** Tables of queued mail in groups. */
import { html, nothing } from "lit-html";
import { count, plural, since, some } from "../format.js";
import { ageLabel, searchablePart } from "../rates.js";
import { placeTo } from "../route.js";

/**
 * qshape's matrix: a row for each group, a column for each age.
 * @param {any} summary  of GET /api/v1/queues/summary
 * @param {(key: string) => string} hrefOf
 * @param {number} nowMs
 */
export function ageMatrix(summary, hrefOf, nowMs) {
  if (summary.rows.length === 0) return html`<p class="quiet">No mail waits.</p>`;
  const ages = Object.keys(summary.total.ages);
  const most = Math.max(
    1,
    ...summary.rows.flatMap((/** @type {any} */ row) => ages.map((name) => row.ages[name] ?? 0)),
  );
  const cell = (/** @type {number} */ value) =>
    html`<td class=${value === 0 ? "number zero" : `number heat${Math.min(4, Math.ceil((Math.log1p(value) / Math.log1p(most)) * 4))}`}>${count(value)}</td>`;
  const row = (/** @type {string} */ name, /** @type {any} */ each, href = "") => html`<tr>
    <th scope="row" class="address">${href === "" ? name : html`<a href=${href}>${name}</a>`}</th>
    <td class="number">${count(each.messages)}</td>
    ${ages.map((age) => cell(each.ages[age] ?? 0))}
    <td class="number">${since(each.oldestAt, nowMs)}</td>
  </tr>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Waiting mail by destination and age"><table class="matrix">
    <thead><tr><th scope="col">Destination</th><th scope="col" class="number">All</th>${ages.map((name) => html`<th scope="col" class="number" title="received at most so long ago">${ageLabel(name)}</th>`)}<th scope="col" class="number">Oldest</th></tr></thead>
    <tbody>${row("All", summary.total)}${summary.rows.map((/** @type {any} */ each) => row(each.key, each, hrefOf(each.key)))}</tbody>
  </table></div>
  ${more(summary)}`;
}

/** @param {any} summary @param {number} nowMs */
export function reasonTable(summary, nowMs) {
  if (summary.rows.length === 0) return html`<p class="quiet">No mail waits.</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Reasons why mail waits"><table class="reasons">
    <thead><tr><th scope="col" class="number">Mail</th><th scope="col">Reason</th><th scope="col" class="number">Last</th><th scope="col">Oldest message</th></tr></thead>
    <tbody>${summary.rows.map(
      (/** @type {any} */ row) => html`<tr>
        <td class="number">${count(row.messages)}</td>
        <td class="reason">${reasonLink(row)}</td>
        <td class="number">${row.reason?.lastAt ? `${since(row.reason.lastAt, nowMs)} ago` : "–"}</td>
        <td><a class="code" href=${placeTo("message", row.sample)}>${row.sample}</a></td>
      </tr>`,
    )}</tbody>
  </table></div>
  ${more(summary)}`;
}

/** Groups that no server and no fault has named, and their filter. @type {Record<string, string>} */
const noReply = { held: "held", "not tried yet": "waiting" };

/** Its mail in the queue. @param {any} row */
function reasonLink(row) {
  const status = noReply[row.key];
  if (status !== undefined) return html`<a href=${placeTo("queue", "", { status })}>${reasonText(row)}</a>`;
  const part = searchablePart(row.reason?.text ?? "");
  if (part === "") return reasonText(row);
  return html`<a href=${placeTo("queue", "", { error: part })}>${reasonText(row)}</a>`;
}

/** @param {any} row */
function reasonText({ key, reason }) {
  if (reason === undefined) return key === "" ? "no attempt yet" : key;
  const codes = some([reason.code, reason.status].filter((each) => each !== null).map(String), 2).replace(
    ", ",
    " ",
  );
  return html`${codes === "" ? nothing : html`<strong>${codes}</strong> `}${reason.text}`;
}

/** @param {any} summary */
function more({ rows, groups, notIndexed }) {
  const hidden = groups - rows.length;
  return html`${hidden > 0 ? html`<p class="quiet">and ${plural(hidden, "smaller group")}</p>` : nothing}
    ${notIndexed > 0 ? html`<p class="quiet">${plural(notIndexed, "message")} more than the admin has room for: not counted here.</p>` : nothing}`;
}
