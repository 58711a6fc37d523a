/** Tasks: changes of many messages, who made them, why, and how far they are. */
import { html, nothing } from "lit-html";
import { get, remove } from "../api.js";
import { withToken } from "../change.js";
import { age, clock, count } from "../format.js";
import { toast } from "../toast.js";

/** @type {import("../main.js").View} */
export const tasks = {
  title: "Tasks",
  refreshMs: 2_000,
  load: (_place, signal) => get("/api/v1/tasks", {}, signal),
  draw({ tasks: list }, { nowMs, reload }) {
    if (list.length === 0) return html`<p class="quiet card">No message was changed by an operator yet.</p>`;
    return html`<div class="scroll card" tabindex="0" role="region" aria-label="Tasks"><table class="mail">
      <thead><tr><th scope="col">Started</th><th scope="col">Action</th><th scope="col">Of</th><th scope="col">By</th><th scope="col">Reason</th><th scope="col">State</th><th scope="col">Progress</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
      <tbody>${list.map((/** @type {any} */ task) => line(task, nowMs, reload))}</tbody>
    </table></div>`;
  },
};

/** @param {any} task @param {number} nowMs @param {() => void} reload */
function line(task, nowMs, reload) {
  const tone = task.state === "done" ? "good" : task.state === "running" ? "active" : "bad";
  return html`<tr>
    <td>${clock(task.startedAt, nowMs)}</td><th scope="row">${task.action}</th>
    <td class="reason">${describe(task.selection)}</td><td data-label="by">${task.by}</td><td class="reason" data-label="because">${task.reason ?? "–"}</td>
    <td><span class="state ${tone}">${task.state}</span>${task.error === null ? "" : ` ${task.error}`}</td>
    <td>${progress(task, nowMs)}</td>
    <td>${task.state === "running" ? html`<button @click=${() => cancel(task.id, reload)}>Cancel</button>` : nothing}</td>
  </tr>`;
}

/** @param {any} selection */
function describe({ ids, more, filter, all, file }) {
  if (file) return file;
  if (all) return "all mail";
  if (ids) return ids.length === 1 && !more ? ids[0] : `${count(ids.length + (more ?? 0))} messages`;
  return Object.entries(filter ?? {})
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** @param {any} task @param {number} nowMs */
function progress({ state, total, matched, changed, skipped, startedAt, finishedAt }, nowMs) {
  const took = age((finishedAt === null ? nowMs : Date.parse(finishedAt)) - Date.parse(startedAt));
  const text = `${count(changed)} changed${skipped > 0 ? `, ${count(skipped)} not` : ""}, ${took}`;
  if (state !== "running" || total === null) return text;
  return html`<progress max=${Math.max(1, total)} value=${matched} aria-label="Looked at"></progress> ${text}`;
}

/** @param {string} id @param {() => void} reload */
async function cancel(id, reload) {
  try {
    await withToken(() => remove(`/api/v1/tasks/${encodeURIComponent(id)}`));
    reload();
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { bad: true });
  }
}
