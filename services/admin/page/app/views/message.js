/** One message: where it is, why, what happened to it, and what can be done. */
import { html, nothing } from "lit-html";
import { ApiError, download, get } from "../api.js";
import { changeMail, withToken } from "../change.js";
import { bytes, clock, sender, until } from "../format.js";
import { placeTo } from "../route.js";
import { toast } from "../toast.js";
import { history } from "./history.js";
import { timeline } from "./timeline.js";

/** @type {import("../main.js").View} */
export const message = {
  title: "Message",
  refreshMs: 5_000,
  async load({ rest }, signal) {
    const unlessUnknown = (/** @type {unknown} */ error) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    };
    // A message that has left the spool is known by its events only, and one whose events went only by the queues.
    const [detail, trace] = await Promise.all([
      get(`/api/v1/messages/${encodeURIComponent(rest)}`, {}, signal).catch(unlessUnknown),
      get("/api/v1/trace", { q: rest.replace(/-\d+$/, "") }, signal).catch(unlessUnknown),
    ]);
    return { detail, trace };
  },
  draw({ detail, trace }, context) {
    const { place, nowMs } = context;
    if (detail === undefined && trace === undefined) {
      return html`<p class="card">Nothing is known of <code>${place.rest}</code>. <a href=${placeTo("tracking", "", { q: place.rest })}>Search what happened lately</a></p>`;
    }
    return html`
      ${detail === undefined ? html`<p class="banner good">It has left the gateway: nothing of it waits here.</p>` : facts(detail, nowMs)}
      ${detail === undefined ? nothing : actions(detail, context)}
      ${detail === undefined ? nothing : html`${recipients(detail, nowMs)} ${history(detail, nowMs)}`}
      <section aria-labelledby="events" class="card"><h2 id="events">What happened</h2>
        ${trace === undefined ? html`<p class="quiet">No events are kept of it.</p>` : timeline(trace.events, nowMs, { of: place.rest.replace(/-\d+$/, "") })}
        ${trace?.more ? html`<p class="quiet">There is more than is shown here: <code>postern trace ${place.rest}</code></p>` : nothing}
      </section>
      ${detail === undefined ? nothing : headers(detail, context.reload)}
    `;
  },
};

/** @param {any} detail @param {number} nowMs */
function facts(detail, nowMs) {
  const { origin, envelope } = detail;
  const givesUpAt = detail.jobs
    .map((/** @type {any} */ job) => job.givesUpAt)
    .filter(Boolean)
    .sort()[0];
  const rows = [
    ["Id", html`<span class="code">${detail.id}</span>`],
    ["Message-ID", html`<span class="code">${detail.messageId ?? "–"}</span>`],
    ["From", sender(envelope.from)],
    ["Received", clock(detail.receivedAt, nowMs)],
    ["Size", bytes(detail.size)],
    [
      "Came from",
      origin === null
        ? "the gateway itself"
        : `${origin.client.address} (${origin.helo}) by ${origin.listener}, ${origin.direction}, ${origin.protocol}${origin.user ? `, user ${origin.user}` : ""}`,
    ],
    ...(givesUpAt === undefined
      ? []
      : [["Gives up", `${clock(givesUpAt, nowMs)} (${until(givesUpAt, nowMs)})`]]),
  ];
  return html`<dl class="facts card">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {any} detail @param {import("../main.js").Context} context */
function actions(detail, { reload }) {
  const ids = [detail.id];
  const has = (/** @type {string} */ status) =>
    detail.jobs.some((/** @type {any} */ job) => job.status === status);
  const button = (
    /** @type {import("../change.js").Action} */ action,
    /** @type {string} */ name,
    kind = "",
  ) => html`<button class=${kind} @click=${() => changeMail(action, { ids }, reload)}>${name}</button>`;
  return html`<p class="actions" role="group" aria-label="Change this message">
    ${has("deferred") ? button("retry", "Retry now") : nothing}
    ${has("deferred") || has("waiting") || has("active") ? button("hold", "Hold") : nothing}
    ${has("held") ? button("release", "Release") : nothing}
    ${has("deferred") || has("waiting") || has("held") ? button("reroute", "Reroute") : nothing}
    ${has("dead") ? button("put-back", "Put back") : nothing}
    ${detail.jobs.length > 0 ? button("remove", "Remove", "danger") : nothing}
    <button @click=${() => exportMessage(detail.id)}>Export</button>
  </p>`;
}

/** @param {string} id */
async function exportMessage(id) {
  try {
    const blob = await withToken(() => download(`/api/v1/messages/${encodeURIComponent(id)}/raw`));
    if (blob === undefined) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${id}.eml`;
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { bad: true });
  }
}

/** @param {any} detail @param {number} nowMs */
function recipients(detail, nowMs) {
  const jobs = new Map(detail.jobs.map((/** @type {any} */ job) => [job.id, job]));
  return html`<section aria-labelledby="recipients" class="card"><h2 id="recipients">Recipients</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of recipients"><table class="mail">
      <thead><tr><th scope="col">Address</th><th scope="col">State</th><th scope="col">Route</th><th scope="col" class="number">Next attempt</th><th scope="col">Last reason</th></tr></thead>
      <tbody>${detail.recipients.map((/** @type {any} */ recipient) => {
        const job = /** @type {any} */ (jobs.get(recipient.job));
        return html`<tr>
          <th scope="row" class="address">${recipient.address}</th>
          <td><span class="state ${job?.status ?? recipient.state}">${recipient.state === "pending" ? (job?.status ?? "pending") : recipient.state}</span></td>
          <td>${job?.route ?? "–"}</td>
          <td class="number" data-label="next">${job?.status === "deferred" && recipient.state === "pending" ? until(job.nextAttemptAt, nowMs) : "–"}</td>
          <td class="reason">${job?.hold && recipient.state === "pending" ? `held: ${job.hold.reason || `${job.hold.kind} ${job.hold.value}`}` : reasonOf(recipient.diagnosis)}</td>
        </tr>`;
      })}</tbody>
    </table></div>
  </section>`;
}

/** @param {any} diagnosis */
function reasonOf(diagnosis) {
  if (diagnosis === undefined) return "–";
  const { reply, remote, status, reason } = diagnosis;
  const said = reply === undefined ? `${status} ${reason}` : `${reply.code} ${reply.lines.join(" ")}`;
  return `${said}${remote === undefined ? "" : ` (${remote.host})`}`;
}

/** @param {any} detail @param {() => void} reload */
function headers(detail, reload) {
  return html`<section aria-labelledby="header" class="card"><h2 id="header">Header</h2>
    ${
      detail.headers === null
        ? html`<p class="quiet">Header fields need a token with the scope <code>content</code>.
            <button @click=${() => withToken(() => get(`/api/v1/messages/${encodeURIComponent(detail.id)}/raw`).catch(rethrowRefusal)).then(reload)}>Enter one</button></p>`
        : html`<pre tabindex="0">${detail.headers}</pre>`
    }
  </section>`;
}

/** The octets are no JSON: only whether they may be read matters. @param {unknown} error */
function rethrowRefusal(error) {
  if (error instanceof ApiError) throw error;
}
