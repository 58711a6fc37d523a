/** Asks for a token: when the page may not read, and before the first change. */
import { html } from "lit-html";
import { setToken } from "./api.js";

/**
 * @param {Error | undefined} failure  why a token is needed
 * @param {() => void} entered
 */
export function tokenForm(failure, entered) {
  /** @param {SubmitEvent} event */
  const submit = (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    setToken(String(new FormData(form).get("token") ?? "").trim());
    entered();
  };
  return html`<form class="card token" @submit=${submit}>
    <h2>A token is needed</h2>
    <p>${failure?.message ?? ""} The token stands in <code>admin.tokens</code> of the configuration, or in
      <code>data/admin.token</code>. It stays in this tab.</p>
    <label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
    <button type="submit" class="primary">Use it</button>
  </form>`;
}
