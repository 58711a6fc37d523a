/** Renders the start page: services, queues, and why mail is deferred. Pure. */
import { age } from "../../../shared/age.ts";
import type { MessageRow, QueueCounts, ServiceRow } from "../routes/schemas.ts";
import { Html, html } from "./html.ts";
import { pageStyle } from "./page-style.ts";

export interface PageView {
  hostname: string;
  version: string;
  /** Why the gateway is not ready, one line each. */
  reasons: string[];
  /** Absent while Redis is out of reach. */
  queues?: {
    counts: QueueCounts[];
    services: ServiceRow[];
    oldestMs: number | undefined;
    deferred: MessageRow[];
  };
  spool: { bytesUsed: number; bytesFree: number } | undefined;
  nowMs: number;
}

export function renderPage(view: PageView): string {
  const ready = view.reasons.length === 0;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<title>${view.hostname} – Postern</title>
<link rel="icon" href="data:,">
<style>${styleText}</style>
</head>
<body>
<header>
<h1>${view.hostname}</h1>
<p class="state ${ready ? "ready" : "unready"}" role="status">${ready ? "● ready" : "▲ not ready"}</p>
<nav aria-label="Other views"><ul>
<li><a href="/queues">Queues</a></li>
<li><a href="/api/v1/messages">Messages</a></li>
<li><a href="/openapi.json">API</a></li>
<li><a href="/metrics">Metrics</a></li>
<li><a href="/health">Health</a></li>
</ul></nav>
</header>
<main>
${ready ? [] : reasonList(view.reasons)}
${view.queues ? [tiles(view, view.queues), deferredTable(view.queues.deferred, view.nowMs), queueTable(view.queues.counts), serviceTable(view.queues.services, view.nowMs)] : []}
</main>
<footer><p>Postern ${view.version} · reloads every 30 seconds · as of ${clock(view.nowMs)}</p></footer>
</body>
</html>
`;
  return page.text;
}

const styleText = new Html(pageStyle);

function reasonList(reasons: string[]): Html {
  const items = reasons.map((reason) => html`<li>${reason}</li>`);
  return html`<section aria-labelledby="wrong"><h2 id="wrong" class="unready">What is wrong</h2><ul>${items}</ul></section>`;
}

function tiles(view: PageView, queues: NonNullable<PageView["queues"]>): Html {
  // Jobs of `bounce` are notifications still to be made, not messages.
  const ofMessages = queues.counts.filter(({ name }) => name !== "bounce");
  const sum = (pick: (counts: QueueCounts) => number): number =>
    ofMessages.reduce((total, counts) => total + pick(counts), 0);
  const tile = (name: string, value: string, note: string): Html =>
    html`<div><dt>${name}</dt><dd>${value} <small>${note}</small></dd></div>`;
  return html`<dl class="tiles">
${tile("Waiting", count(sum((queue) => queue.waiting + queue.active)), "for delivery")}
${tile("Deferred", count(sum((queue) => queue.deferred)), "until the next attempt")}
${tile("Held", count(sum((queue) => queue.held)), "by an operator")}
${tile("Dead", count(sum((queue) => queue.dead)), "neither delivered nor returned")}
${tile("Oldest", queues.oldestMs === undefined ? "–" : age(queues.oldestMs), "in the queue")}
${view.spool ? tile("Spool", bytes(view.spool.bytesUsed), `${bytes(view.spool.bytesFree)} free`) : []}
</dl>`;
}

function deferredTable(rows: MessageRow[], nowMs: number): Html {
  const heading = html`<h2 id="deferred">Deferred messages</h2>`;
  if (rows.length === 0) {
    return html`<section aria-labelledby="deferred">${heading}<p class="quiet">No message is deferred.</p></section>`;
  }
  const lines = rows.map(
    (row) => html`<tr>
<th scope="row" class="code"><a href="/api/v1/messages/${encodeURIComponent(row.id)}">${row.id}</a></th>
<td class="address">${row.from === "" ? "<>" : row.from}</td>
<td class="address">${addresses(row.to)}</td>
<td class="number">${row.attempts}</td>
<td class="number">${row.nextAttemptAt === null ? "–" : until(row.nextAttemptAt, nowMs)}</td>
<td class="reason">${row.reason ?? "–"}</td>
</tr>`,
  );
  return html`<section aria-labelledby="deferred">${heading}
<div class="scroll"><table aria-labelledby="deferred">
<thead><tr><th scope="col">Id</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="number">Attempts</th><th scope="col" class="number">Next attempt</th><th scope="col">Reason</th></tr></thead>
<tbody>${lines}</tbody></table></div></section>`;
}

function queueTable(queues: QueueCounts[]): Html {
  const cell = (value: number): Html =>
    html`<td class="number ${value === 0 ? "zero" : ""}">${count(value)}</td>`;
  const lines = queues.map(
    (
      queue,
    ) => html`<tr><th scope="row"><a href="/queues/queue/${encodeURIComponent(queue.name)}">${queue.name}</a></th>
${cell(queue.waiting)}${cell(queue.active)}${cell(queue.deferred)}${cell(queue.held)}${cell(queue.dead)}</tr>`,
  );
  return html`<section aria-labelledby="queues"><h2 id="queues">Queues</h2>
<div class="scroll"><table aria-labelledby="queues">
<thead><tr><th scope="col">Queue</th><th scope="col" class="number">Waiting</th><th scope="col" class="number">Active</th><th scope="col" class="number">Deferred</th><th scope="col" class="number">Held</th><th scope="col" class="number">Dead</th></tr></thead>
<tbody>${lines}</tbody></table></div></section>`;
}

function serviceTable(services: ServiceRow[], nowMs: number): Html {
  const heading = html`<h2 id="services">Services</h2>`;
  if (services.length === 0) {
    return html`<section aria-labelledby="services">${heading}<p class="quiet">No service has announced itself.</p></section>`;
  }
  const lines = services.map(
    (service) => html`<tr><th scope="row">${service.name}</th><td>${service.host}</td>
<td class="number">${service.pid}</td><td class="number">${age(nowMs - Date.parse(service.startedAt))}</td>
<td class="${service.ready ? "ready" : "unready"}">${service.ready ? "ready" : `not ready: ${service.reasons.join("; ")}`}</td>
<td class="code">${service.url ?? "–"}</td></tr>`,
  );
  return html`<section aria-labelledby="services">${heading}
<div class="scroll"><table aria-labelledby="services">
<thead><tr><th scope="col">Service</th><th scope="col">Host</th><th scope="col" class="number">Process</th><th scope="col" class="number">Up for</th><th scope="col">State</th><th scope="col">Health and metrics</th></tr></thead>
<tbody>${lines}</tbody></table></div></section>`;
}

function addresses(list: string[]): string {
  const shown = list.slice(0, 3).join(", ");
  return list.length > 3 ? `${shown} and ${list.length - 3} more` : shown;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function until(iso: string, nowMs: number): string {
  const leftMs = Date.parse(iso) - nowMs;
  return leftMs <= 0 ? "now" : `in ${age(leftMs)}`;
}

function bytes(value: number): string {
  if (!Number.isFinite(value)) return "any amount";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${scaled >= 10 || unit === 0 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit]}`;
}

function clock(ms: number): string {
  return new Date(ms).toISOString().replace("T", " ").slice(0, 19).concat(" UTC");
}
