/** Dead mail: what could be neither delivered nor returned. */
import { html, nothing } from "lit-html";
import { get } from "../api.js";
import { changeMail } from "../change.js";
import { count } from "../format.js";
import { mailTable } from "./mail-table.js";

/** @type {Set<string>} */
const selected = new Set();

/** @type {import("../main.js").View} */
export const dead = {
  title: "Dead mail",
  refreshMs: 10_000,
  load: (_place, signal) => get("/api/v1/messages", { status: "dead", limit: 200 }, signal),
  draw({ messages, totals }, { nowMs, redraw, reload }) {
    const ids = [...selected];
    /** @type {import("../change.js").Selection} */
    const selection = ids.length > 0 ? { ids } : { filter: { status: "dead" } };
    const whom = ids.length > 0 ? `${count(ids.length)} selected` : "All dead mail";
    const changed = () => {
      selected.clear();
      reload();
    };
    return html`
      <p>Undeliverable notifications, and mail of the null sender that failed. No worker takes it; it is kept for
        <code>queue.dead_retention</code>${totals === null ? "" : `: ${count(totals.matched)} now`}.</p>
      ${
        messages.length === 0
          ? nothing
          : html`<p class="actions" role="group" aria-label="Change ${whom}"><span>${whom}:</span>
            <button @click=${() => changeMail("put-back", selection, changed)}>Put back</button>
            <button class="danger" @click=${() => changeMail("remove", selection, changed)}>Remove</button></p>`
      }
      ${mailTable(messages, nowMs, { selected, redraw })}`;
  },
};
