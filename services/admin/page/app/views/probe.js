/** A live look at how a delivery would go: DNS, policies, session, MAIL and RCPT, each step timed, without mail. */
import { html, nothing } from "lit-html";
import { post } from "../api.js";
import { withToken } from "../change.js";

/** @type {{ running: boolean, report?: any, error?: string }} */
let state = { running: false };

/** @type {import("../main.js").View} */
export const probe = {
  title: "Probe",
  refreshMs: 3_600_000,
  load: async () => ({}),
  draw(_data, { place, redraw }) {
    return html`<p>Looks how a delivery to an address would go now, up to RCPT. No mail is sent.</p>
      <form class="filters card" @submit=${(/** @type {SubmitEvent} */ event) => start(event, redraw)}>
        <label class="wide">Recipient <input name="address" required .value=${place.query.address ?? ""} placeholder="bob@example.com" autocomplete="off"></label>
        <label class="wide">Sender (empty: the null sender) <input name="from" placeholder="<>" autocomplete="off"></label>
        <button type="submit" class="primary" ?disabled=${state.running}>${state.running ? "Probing …" : "Probe"}</button>
      </form>
      <div role="status">${state.running ? html`<p class="quiet">The server is asked; a slow one takes a minute at most.</p>` : nothing}
        ${state.error === undefined ? nothing : html`<p class="banner bad">${state.error}</p>`}
        ${state.report === undefined ? nothing : result(state.report)}</div>`;
  },
  leave() {
    state = { running: false };
  },
};

/** @param {SubmitEvent} event @param {() => void} redraw */
async function start(event, redraw) {
  event.preventDefault();
  const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
  const text = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
  const asked = { running: true };
  state = asked;
  redraw();
  const body = { address: text("address"), ...(text("from") === "" ? {} : { from: text("from") }) };
  /** @type {typeof state} */
  const next = await withToken(() => post("/api/v1/probes", body)).then(
    (report) => (report === undefined ? { running: false } : { running: false, report }),
    (error) => ({ running: false, error: String(error.message ?? error) }),
  );
  // Another view or another probe has taken its place.
  if (state !== asked) return;
  state = next;
  redraw();
}

const tones = /** @type {Record<string, string>} */ ({ accepted: "good", deferred: "warn" });

/** @param {any} report */
function result({ address, route, result: outcome, ms, steps }) {
  return html`<p class="banner ${tones[outcome] ?? "bad"}"><strong>${outcome}</strong>: ${address}, ${route}, in ${ms} ms</p>
    <div class="scroll card" tabindex="0" role="region" aria-label="Steps"><table class="mail">
      <thead><tr><th scope="col">Step</th><th scope="col">Asked</th><th scope="col" class="number">Took</th><th scope="col">Result</th></tr></thead>
      <tbody>${steps.map(
        (/** @type {any} */ step) => html`<tr>
          <th scope="row"><span class="state ${step.ok === null ? "" : step.ok ? "good" : "bad"}">${step.ok === null ? "–" : step.ok ? "✓" : "✗"}</span> ${step.step}</th>
          <td class="address">${step.target}</td><td class="number">${Math.round(step.ms)} ms</td><td class="reason">${step.detail}</td>
        </tr>`,
      )}</tbody>
    </table></div>`;
}
