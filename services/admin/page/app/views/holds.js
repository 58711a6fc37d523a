/** Hold rules: what stands, since when, why, how much waits; a new one; release. */
import { html } from "lit-html";
import { ApiError, get, post, remove } from "../api.js";
import { withToken } from "../change.js";
import { ask } from "../dialog.js";
import { clock, count, plural, until } from "../format.js";
import { placeTo } from "../route.js";
import { toast } from "../toast.js";

/** @type {import("../main.js").View} */
export const holds = {
  title: "Holds",
  refreshMs: 10_000,
  load: (_place, signal) => get("/api/v1/holds", {}, signal),
  draw({ holds: rules }, { nowMs, reload }) {
    return html`
      <p class="actions"><button class="primary" @click=${() => addHold(reload)}>New hold</button>
        <a href=${placeTo("queue", "", { status: "held" })}>All held mail</a></p>
      ${
        rules.length === 0
          ? html`<p class="quiet card">No hold stands.</p>`
          : html`<div class="scroll card" tabindex="0" role="region" aria-label="Holds"><table class="mail">
            <thead><tr><th scope="col">Holds</th><th scope="col">Reason</th><th scope="col">By</th><th scope="col">Since</th><th scope="col">Until</th><th scope="col" class="number">Waiting</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
            <tbody>${rules.map((/** @type {any} */ rule) => line(rule, nowMs, reload))}</tbody>
          </table></div>`
      }`;
  },
};

/** @param {any} rule @param {number} nowMs @param {() => void} reload */
function line(rule, nowMs, reload) {
  return html`<tr>
    <th scope="row" class="address">${rule.kind === "all" ? "all mail" : `${rule.kind} ${rule.value}`}</th>
    <td class="reason" data-label="because">${rule.reason || "–"}</td><td data-label="by">${rule.by ?? "–"}</td>
    <td data-label="since">${clock(rule.since ?? rule.createdAt, nowMs)}</td>
    <td data-label="until">${rule.until === null ? "it is released" : html`${clock(rule.until, nowMs)} <span class="quiet">${until(rule.until, nowMs)}</span>`}</td>
    <td class="number" data-label="waiting"><a href=${heldBy(rule)}>${count(rule.waiting)}</a></td>
    <td><button @click=${() => endHold(rule, reload)}>Release</button></td>
  </tr>`;
}

/** @param {any} rule */
function heldBy({ kind, value }) {
  const byKind = {
    destination: { search: value },
    sender: { from: value },
    message: { search: value },
    all: {},
  };
  const filter = byKind[/** @type {keyof typeof byKind} */ (kind)];
  return placeTo("queue", "", { status: "held", ...filter });
}

/** @param {any} rule @param {() => void} reload */
async function endHold(rule, reload) {
  const name = rule.kind === "all" ? "all mail" : `${rule.kind} ${rule.value}`;
  const form = await ask({
    title: `Release ${name}`,
    body: html`<p>${typeof rule.waiting === "number" ? plural(rule.waiting, "held message") : "What it holds"}: due at once, unless another hold covers it.</p>`,
    confirm: "Release",
  });
  if (form === undefined) return;
  await attempt(async () => {
    const done = await withToken(() => remove(`/api/v1/holds/${encodeURIComponent(rule.id)}`));
    if (done === undefined) return;
    const { kind, value, reason } = rule;
    const again = { kind, ...(kind === "all" ? {} : { value }), ...(reason === "" ? {} : { reason }) };
    toast(`Released ${count(done.released)}.`, { undo: () => void attempt(() => create(again, reload)) });
    reload();
  });
}

const kinds = /** @type {const} */ ([
  ["destination", "a destination: a domain, *.domain, or a next hop"],
  ["sender", "a sender: an address, a pattern, or <>"],
  ["message", "one message, by its id"],
  ["all", "all mail"],
]);

/** @param {() => void} reload */
async function addHold(reload) {
  const form = await ask({
    title: "New hold",
    body: html`<p>No attempt is made for the mail that it covers, now and later, until it is released.</p>
      <label>Hold <select name="kind">${kinds.map(([value, name]) => html`<option value=${value}>${name}</option>`)}</select></label>
      <label>Which (not for all mail) <input name="value" autocomplete="off" autofocus></label>
      <label>Until (empty: until it is released) <input type="datetime-local" name="until"></label>
      <label>Reason <input name="reason" maxlength="500" autocomplete="off"></label>`,
    confirm: "Hold",
  });
  if (form === undefined) return;
  const text = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
  const until = text("until");
  const body = {
    kind: text("kind"),
    ...(text("kind") === "all" ? {} : { value: text("value") }),
    ...(text("reason") === "" ? {} : { reason: text("reason") }),
    ...(until === "" ? {} : { until: new Date(until).toISOString() }),
  };
  await attempt(() => create(body, reload));
}

/** @param {Record<string, unknown>} body @param {() => void} reload */
async function create(body, reload) {
  const done = await withToken(() => post("/api/v1/holds", body)).catch(async (error) => {
    if (!(error instanceof ApiError) || error.status !== 409) throw error;
    // A standing hold changes only when the operator says so.
    const form = await ask({
      title: "Change the hold?",
      body: html`<p>${error.message}</p>`,
      confirm: "Change it",
    });
    return form === undefined ? undefined : post("/api/v1/holds", { ...body, replace: true });
  });
  if (done === undefined) return;
  toast(`The hold stands; ${count(done.parked)} held now.`);
  reload();
}

/** @param {() => Promise<void>} action */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { bad: true });
  }
}
