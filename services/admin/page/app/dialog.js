/** One modal dialog at a time: a form whose answer is awaited. */
import { html, nothing } from "lit-html";
import { ref } from "lit-html/directives/ref.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {unknown} body    the fields of the form
 * @property {string} confirm  the text of the button
 * @property {boolean} [danger]
 */

/** @type {{ question: Question, answer: (form: FormData | undefined) => void } | undefined} */
let open;
let redraw = () => {};

/**
 * @param {Question} question
 * @returns {Promise<FormData | undefined>} the fields; undefined when it was cancelled
 */
export function ask(question) {
  open?.answer(undefined);
  return new Promise((resolve) => {
    open = {
      question,
      answer(form) {
        // Closed, not only taken away: the browser gives the focus back to where it was.
        document.querySelector("dialog")?.close();
        open = undefined;
        redraw();
        resolve(form);
      },
    };
    redraw();
  });
}

/** @param {Element | undefined} element */
function showModal(element) {
  const dialog = /** @type {HTMLDialogElement | undefined} */ (element);
  if (dialog?.isConnected && !dialog.open) dialog.showModal();
}

/** @param {() => void} draw */
export function dialogs(draw) {
  redraw = draw;
  if (open === undefined) return nothing;
  const { question, answer } = open;
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    answer(new FormData(/** @type {HTMLFormElement} */ (event.target)));
  };
  return html`<dialog aria-labelledby="question" @cancel=${() => answer(undefined)}
    ${ref((element) => queueMicrotask(() => showModal(element)))}>
    <form @submit=${submit}>
      <h2 id="question">${question.title}</h2>
      ${question.body}
      <p class="buttons">
        <button type="button" @click=${() => answer(undefined)}>Cancel</button>
        <button type="submit" class=${question.danger ? "danger" : "primary"}>${question.confirm}</button>
      </p>
    </form>
  </dialog>`;
}
