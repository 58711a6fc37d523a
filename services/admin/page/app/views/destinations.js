/** Destinations with waiting mail, and one of them: why it is slow, and what can be done. */
import { html } from "lit-html";
import { get } from "../api.js";
import { changeMail } from "../change.js";
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
    const to = `*@${rest}`;
    const [reasons, mail] = await Promise.all([
      get("/api/v1/queues/summary", { by: "reason", to, limit: 20 }, signal),
      get("/api/v1/messages", { to, sort: "oldest", limit: 20 }, signal),
    ]);
    return { reasons, mail };
  },
  draw({ all, reasons, mail }, context) {
    const { place, nowMs } = context;
    if (all !== undefined) {
      return html`<section class="card" aria-label="Destinations">${ageMatrix(all, (key) => placeTo("destinations", key), nowMs)}</section>`;
    }
    return one(place.rest, { reasons, mail }, context);
  },
};

/** @param {string} name @param {{ reasons: any, mail: any }} data @param {import("../main.js").Context} context */
function one(name, { reasons, mail }, { nowMs, reload }) {
  /** @type {import("../change.js").Selection} */
  const selection = { filter: { to: `*@${name}` } };
  const button = (
    /** @type {import("../change.js").Action} */ action,
    /** @type {string} */ text,
    kind = "",
  ) => html`<button class=${kind} @click=${() => changeMail(action, selection, reload)}>${text}</button>`;
  return html`
    <h2>${name}</h2>
    <p class="actions" role="group" aria-label="Change the mail to ${name}">
      ${button("retry", "Retry now")} ${button("hold", "Hold")} ${button("release", "Release")} ${button("remove", "Remove", "danger")}
      <a href=${placeTo("queue", "", { to: `*@${name}` })}>All its mail</a>
    </p>
    <section class="card" aria-labelledby="why"><h2 id="why">Why its mail waits</h2>${reasonTable(reasons, nowMs)}</section>
    <section aria-labelledby="oldest"><h2 id="oldest">The oldest</h2>${mailTable(mail.messages, nowMs)}</section>`;
}
