/** The gateway at a glance: is it well, what passes, what waits, why, and what to do. */
import { html, nothing } from "lit-html";
import { ApiError, get } from "../api.js";
import { age, bytes, count, short, since } from "../format.js";
import { Plot } from "../plot.js";
import { sessionRates, trailingMinute } from "../rates.js";
import { placeTo } from "../route.js";
import { ageMatrix, reasonTable } from "./summary.js";

const kinds = /** @type {const} */ ([
  ["accepted", "--in"],
  ["delivered", "--out"],
  ["proxied", "--proxied"],
  ["deferred", "--deferred"],
  ["bounced", "--bounced"],
  ["refused", "--refused"],
]);
const plot = new Plot(
  kinds.map(([label, colour]) => ({ label, colour })),
  "Messages per minute over the last hour; the table of rates has the figures",
);
const shownGroups = 8;

/** @type {import("../main.js").View} */
export const overview = {
  title: "Overview",
  refreshMs: 5_000,
  async load(_place, signal) {
    const summary = (/** @type {string} */ by) =>
      get("/api/v1/queues/summary", { by, limit: shownGroups }, signal).catch(unlessBuilding);
    const [status, rates, byDestination, byReason] = await Promise.all([
      get("/api/v1/status", {}, signal),
      get("/api/v1/rates", { minutes: 60 }, signal).catch(unlessBuilding),
      summary("destination"),
      summary("reason"),
    ]);
    return { status, rates, byDestination, byReason };
  },
  draw({ status, rates, byDestination, byReason }, { nowMs }) {
    return html`
      ${state(status)} ${nextSteps(status)} ${tiles(status)}
      <section aria-labelledby="traffic" class="card">
        <h2 id="traffic">Messages per minute, last hour</h2>
        ${rates === undefined ? unknown() : plot.draw(perMinute(rates))}
        ${status.rates === null ? nothing : rateTable(status.rates)}
      </section>
      <section aria-labelledby="sessions" class="card">
        <h2 id="sessions">Sessions per minute, by row of the routing table</h2>
        ${rates === undefined ? unknown() : sessionTable(rates)}
      </section>
      <section aria-labelledby="waiting" class="card">
          <h2 id="waiting">Waiting mail, by destination and age</h2>
          ${byDestination === undefined ? unknown() : ageMatrix(byDestination, (key) => placeTo("destinations", key), nowMs)}
      </section>
      <section aria-labelledby="reasons" class="card">
          <h2 id="reasons">Why mail waits</h2>
          ${byReason === undefined ? unknown() : reasonTable(byReason, nowMs)}
      </section>
      <div class="columns">${services(status.services, nowMs)} ${queues(status.queues)}</div>
      <p class="quiet">Postern ${status.services[0]?.version ?? ""}</p>
    `;
  },
};

/** @param {unknown} error */
function unlessBuilding(error) {
  // Without Redis, or while the index of the queues is being built, the rest of the page is shown.
  if (error instanceof ApiError && error.status === 503) return undefined;
  throw error;
}

function unknown() {
  return html`<p class="quiet">Not known at the moment.</p>`;
}

/** @param {any} status */
function state({ ok, reasons, warnings }) {
  return html`<div class=${ok ? "banner good" : "banner bad"} role="status">
      <strong>${ok ? "✓ All is well" : "✗ Not well"}</strong>
      ${reasons.length === 0 ? nothing : html`<ul>${reasons.map((/** @type {string} */ each) => html`<li>${each}</li>`)}</ul>`}
    </div>
    ${warnings.map((/** @type {string} */ each) => html`<p class="banner warn">${each}</p>`)}`;
}

/** @param {any} status */
function nextSteps({ next }) {
  if (next.length === 0) return nothing;
  const step = (/** @type {any} */ { text, command }) => {
    const href = command === null ? undefined : hrefOf(command);
    return html`<li>
      ${href === undefined ? text : html`<a href=${href}>${text}</a>`}
      ${command === null ? nothing : html`<br><code class="quiet">${command}</code>`}
    </li>`;
  };
  return html`<section aria-labelledby="next" class="card">
    <h2 id="next">What to do next</h2>
    <ol>${next.map(step)}</ol>
  </section>`;
}

/** Where the page has what a command shows. @param {string} command */
function hrefOf(command) {
  const destination = /^postern destination (\S+)$/.exec(command)?.[1];
  if (destination !== undefined) return placeTo("destinations", destination);
  if (command === "postern queue list --status dead") return "#/dead";
  return command === "postern holds" ? "#/holds" : undefined;
}

/** @param {any} status */
function tiles({ queues, dead, held, oldestSeconds, disk, redis }) {
  const sum = (/** @type {string} */ of) =>
    queues === null
      ? null
      : queues.reduce(
          (/** @type {number} */ total, /** @type {any} */ queue) =>
            total + (queue.name === "bounce" ? 0 : queue[of]),
          0,
        );
  const waiting = queues === null ? null : (sum("waiting") ?? 0) + (sum("active") ?? 0);
  const tile = (
    /** @type {string} */ name,
    /** @type {string} */ value,
    /** @type {string} */ note,
    href = "",
    bad = false,
  ) =>
    html`<div class=${bad ? "tile bad" : "tile"}>
      <dt>${href === "" ? name : html`<a href=${href}>${name}</a>`}</dt>
      <dd>${value} <small>${note}</small></dd>
    </div>`;
  return html`<dl class="tiles">
    ${tile("Waiting", short(waiting), "for delivery now", placeTo("queue", "", { status: "waiting" }))}
    ${tile("Deferred", short(sum("deferred")), "to be tried again", placeTo("queue", "", { status: "deferred" }))}
    ${tile("Held", short(held), "by an operator", "#/holds")}
    ${tile("Dead", short(dead), "needs an operator", "#/dead", dead > 0)}
    ${tile("Oldest", oldestSeconds === null ? "–" : age(oldestSeconds * 1000), "in the queue", placeTo("queue", "", { sort: "oldest" }))}
    ${tile("Spool", disk === null ? "–" : bytes(disk.usedBytes), disk === null ? "not readable" : `${bytes(disk.freeBytes)} free`)}
    ${tile("Redis", redis.usedBytes === null ? "–" : bytes(redis.usedBytes), redis.ok ? `answers in ${redis.latencyMs} ms` : "out of reach", "", !redis.ok)}
  </dl>`;
}

/** @param {any} rates @returns {any} */
function perMinute({ bucketSeconds, buckets }) {
  const times = buckets.map((/** @type {any} */ bucket) => Date.parse(bucket.at) / 1000);
  return [
    times,
    ...kinds.map(([kind]) =>
      trailingMinute(
        buckets.map((/** @type {any} */ bucket) => (bucket.measured ? bucket[kind] : null)),
        bucketSeconds,
      ),
    ),
  ];
}

/** @param {any} rates */
function rateTable(rates) {
  const spans = /** @type {const} */ (["1m", "5m", "15m"]);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Messages per minute"><table>
    <thead><tr><th scope="col">Per minute over</th>${kinds.map(([kind, colour]) => html`<th scope="col" class="number"><span class="dot ${colour.slice(2)}"></span>${kind}</th>`)}</tr></thead>
    <tbody>${spans.map((span) => html`<tr><th scope="row">${span.replace("m", " min")}</th>${kinds.map(([kind]) => html`<td class="number">${short(rates[span][kind])}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

const sessionSpans = /** @type {const} */ ([1, 5, 15, 60]);

/** What the rows of the routing table do with a connection. @type {Record<string, string>} */
const rowNotes = {
  "client-server": "passed through to the server that the client chose",
  "to-protected": "mail for protected domains, queued",
  "domain-server": "mail for others, queued for the server that the client chose",
  relay: "mail for others, queued",
  local: "clients that mean the gateway itself",
};

/** @param {any} rates */
function sessionTable({ bucketSeconds, buckets }) {
  const { rows, opaque } = sessionRates(buckets, bucketSeconds, sessionSpans);
  if (rows.length === 0) return html`<p class="quiet">No session in the last hour.</p>`;
  const cells = (/** @type {number[]} */ values) =>
    values.map((each) => html`<td class=${each === 0 ? "number zero" : "number"}>${short(each)}</td>`);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Sessions per minute"><table>
    <thead><tr><th scope="col">Per minute over</th>${sessionSpans.map((minutes) => html`<th scope="col" class="number">${minutes} min</th>`)}</tr></thead>
    <tbody>${rows.map(
      ({ name, rates }) =>
        html`<tr><th scope="row">${name} <span class="quiet note">${rowNotes[name] ?? ""}</span></th>${cells(rates)}</tr>`,
    )}
    <tr><th scope="row">of them opaque <span class="quiet note">went on under TLS or in another protocol, unread</span></th>${cells(opaque)}</tr></tbody>
  </table></div>`;
}

/** @param {any[]} rows @param {number} nowMs */
function services(rows, nowMs) {
  return html`<section aria-labelledby="services" class="card">
    <h2 id="services">Services</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of services"><table>
      <thead><tr><th scope="col">Service</th><th scope="col">State</th><th scope="col">Host</th><th scope="col" class="number">Process</th><th scope="col" class="number">Up for</th></tr></thead>
      <tbody>${rows.map(
        (service) => html`<tr>
          <th scope="row">${service.name}</th>
          <td><span class=${service.ready ? "state good" : "state bad"}>${service.state}</span> ${service.reasons.join("; ")}</td>
          <td>${service.host ?? "–"}</td><td class="number">${service.pid ?? "–"}</td>
          <td class="number">${since(service.startedAt, nowMs)}</td>
        </tr>`,
      )}</tbody>
    </table></div>
  </section>`;
}

/** @param {any[] | null} rows */
function queues(rows) {
  if (rows === null) return nothing;
  const columns = /** @type {const} */ (["waiting", "active", "deferred", "held", "dead"]);
  return html`<section aria-labelledby="queues" class="card">
    <h2 id="queues">Queues</h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of queues"><table>
      <thead><tr><th scope="col">Queue</th>${columns.map((name) => html`<th scope="col" class="number">${name}</th>`)}<th scope="col" class="number">Oldest</th></tr></thead>
      <tbody>${rows.map(
        (queue) => html`<tr>
          <th scope="row"><a href="/queues/queue/${encodeURIComponent(queue.name)}">${queue.name}</a></th>
          ${columns.map((name) => html`<td class=${queue[name] === 0 ? "number zero" : "number"}>${count(queue[name])}</td>`)}
          <td class="number">${queue.oldestSeconds === null ? "–" : age(queue.oldestSeconds * 1000)}</td>
        </tr>`,
      )}</tbody>
    </table></div>
    <p class="quiet"><code>bounce</code> has notifications that are still to be made.</p>
  </section>`;
}
