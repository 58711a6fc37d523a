/** Short messages about what was done, with a way to undo it where there is one. */
import { html, nothing } from "lit-html";

/** @typedef {{ id: number, text: string, bad: boolean, undo?: () => void }} Toast */

/** @type {Toast[]} */
let shown = [];
let lastId = 0;
let redraw = () => {};
const shownMs = 12_000;

/**
 * @param {string} text
 * @param {{ bad?: boolean, undo?: () => void }} [options]
 */
export function toast(text, { bad = false, undo } = {}) {
  const id = ++lastId;
  shown = [...shown.slice(-3), { id, text, bad, ...(undo ? { undo } : {}) }];
  redraw();
  setTimeout(() => dismiss(id), shownMs);
}

/** @param {number} id */
function dismiss(id) {
  shown = shown.filter((each) => each.id !== id);
  redraw();
}

/** @param {() => void} draw */
export function toasts(draw) {
  redraw = draw;
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(
      ({ id, text, bad, undo }) => html`<p class=${bad ? "toast bad" : "toast"}>
        <span>${text}</span>
        ${
          undo
            ? html`<button @click=${() => {
                dismiss(id);
                undo();
              }}>Undo</button>`
            : nothing
        }
        <button class="link" aria-label="Close this message" @click=${() => dismiss(id)}>×</button>
      </p>`,
    )}
  </div>`;
}
