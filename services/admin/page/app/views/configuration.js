/** The configuration in force, and a button that lets every process read its file again. */
import { html, nothing } from "lit-html";
import { get, post } from "../api.js";
import { withToken } from "../change.js";
import { ask } from "../dialog.js";
import { toast } from "../toast.js";

/** @type {any} */
let lastReload;

/** @type {import("../main.js").View} */
export const configuration = {
  title: "Configuration",
  refreshMs: 30_000,
  load: (_place, signal) => get("/api/v1/config", {}, signal),
  draw({ config }, { reload }) {
    return html`<p>What the admin has in force, with every default; passwords and tokens are <code>***</code>.</p>
      <p class="actions"><button class="primary" @click=${() => readAgain(reload)}>Reload</button>
        <span class="quiet">Every process checks its file, and takes it when all of them can.</span></p>
      ${lastReload === undefined ? nothing : report(lastReload)}
      <div class="settings">${Object.entries(config).map(
        ([name, value]) => html`<section class="card" aria-label=${name}><h2 class="code">${name}</h2>
          <pre tabindex="0">${typeof value === "object" && value !== null ? lines(value) : String(value)}</pre></section>`,
      )}</div>`;
  },
  leave() {
    lastReload = undefined;
  },
};

/** As YAML has it, near enough to read. @param {any} value @param {string} [indent] @returns {string} */
function lines(value, indent = "") {
  const entries = Array.isArray(value) ? value.map((item) => ["-", item]) : Object.entries(value);
  if (entries.length === 0) return `${indent}${Array.isArray(value) ? "[]" : "{}"}`;
  return entries
    .map(([key, item]) => {
      const head = key === "-" ? `${indent}-` : `${indent}${key}:`;
      if (item === null || typeof item !== "object") return `${head} ${item === "" ? '""' : String(item)}`;
      if (Object.keys(item).length === 0) return `${head} ${Array.isArray(item) ? "[]" : "{}"}`;
      const inner = lines(item, `${indent}  `);
      return key === "-" ? `${head} ${inner.trimStart()}` : `${head}\n${inner}`;
    })
    .join("\n");
}

/** @param {() => void} reload */
async function readAgain(reload) {
  const form = await ask({
    title: "Reload the configuration",
    body: html`<p>No session is lost. A file with an error is refused, and the configuration before stays in force.</p>`,
    confirm: "Reload",
  });
  if (form === undefined) return;
  try {
    const done = await withToken(() => post("/api/v1/reload", {}));
    if (done === undefined) return;
    lastReload = done;
    reload();
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { bad: true });
  }
}

const words = /** @type {Record<string, [string, string]>} */ ({
  taken: ["good", "All processes have taken it."],
  invalid: ["bad", "It has errors: none has taken it, and the configuration before stays in force."],
  incomplete: ["warn", "Not all processes have taken it."],
});

/** @param {any} done */
function report({ state, services }) {
  const [tone, text] = words[state] ?? ["warn", state];
  return html`<div class="banner ${tone}" role="status"><strong>${text}</strong>
    <ul>${services.map((/** @type {any} */ each) => html`<li>${each.name} on ${each.host}: ${each.state}${notes(each)}</li>`)}</ul></div>`;
}

/** @param {any} process */
function notes({ errors = [], restart = [], rolling = [] }) {
  return html`${errors.length > 0 ? html`: ${errors.join("; ")}` : nothing}
    ${restart.length > 0 ? html`; after a restart only: ${restart.join(", ")}` : nothing}
    ${rolling.length > 0 ? html`; its workers are restarted for: ${rolling.join(", ")}` : nothing}`;
}
