/** A table of delivery jobs, with a box for each to select it. */
import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { bytes, sender, since, some, until } from "../format.js";
import { placeTo } from "../route.js";

/**
 * @param {any[]} rows  of GET /api/v1/messages
 * @param {number} nowMs
 * @param {{ selected: Set<string>, redraw: () => void }} [selection]  absent: nothing is selected
 */
export function mailTable(rows, nowMs, selection) {
  if (rows.length === 0) return html`<p class="quiet card">No message.</p>`;
  return html`<div class="scroll card" tabindex="0" role="region" aria-label="Messages"><table class="mail">
    <thead><tr>
      ${selection ? html`<th scope="col">${selectAll(rows, selection)}</th>` : nothing}
      <th scope="col">Id</th><th scope="col">Status</th><th scope="col">From</th><th scope="col">To</th>
      <th scope="col" class="number">Age</th><th scope="col" class="number">Next</th>
      <th scope="col" class="number">Tries</th><th scope="col" class="number">Size</th><th scope="col">Reason</th>
    </tr></thead>
    <tbody>${repeat(rows, keyOf, (row) => line(row, nowMs, selection))}</tbody>
  </table></div>`;
}

/** A job may be dead and on its way at once. @param {any} row */
function keyOf(row) {
  return `${row.queue} ${row.id}`;
}

/** @param {any} row @param {number} nowMs @param {{ selected: Set<string>, redraw: () => void } | undefined} selection */
function line(row, nowMs, selection) {
  return html`<tr>
    ${selection ? html`<td class="box">${box(row.id, selection)}</td>` : nothing}
    <th scope="row" class="code"><a href=${placeTo("message", row.id)}>${row.id}</a></th>
    <td><span class="state ${row.status}">${row.status}</span></td>
    <td class="address" data-label="from">${breakable(sender(row.from))}</td>
    <td class="address" data-label="to" title=${row.to.join(", ")}>${breakable(some(row.to))}</td>
    <td class="number" data-label="age">${since(row.receivedAt, nowMs)}</td>
    <td class="number" data-label="next">${row.status === "deferred" ? until(row.nextAttemptAt, nowMs) : "–"}</td>
    <td class="number" data-label="tries">${row.attempts}</td>
    <td class="number" data-label="size">${bytes(row.size)}</td>
    <td class="reason">${row.reason ?? "–"}</td>
  </tr>`;
}

/** Lines break before the domain. @param {string} text */
function breakable(text) {
  return text.split(/(?=@)/).map((part) => html`<wbr>${part}`);
}

/** @param {string} id @param {{ selected: Set<string>, redraw: () => void }} selection */
function box(id, { selected, redraw }) {
  const toggle = () => {
    if (!selected.delete(id)) selected.add(id);
    redraw();
  };
  return html`<input type="checkbox" aria-label="Select ${id}" .checked=${selected.has(id)} @change=${toggle}>`;
}

/** @param {any[]} rows @param {{ selected: Set<string>, redraw: () => void }} selection */
function selectAll(rows, { selected, redraw }) {
  const all = rows.every(({ id }) => selected.has(id));
  const toggle = () => {
    for (const { id } of rows) {
      if (all) selected.delete(id);
      else selected.add(id);
    }
    redraw();
  };
  return html`<input type="checkbox" aria-label="Select all on this page" .checked=${all} @change=${toggle}>`;
}
