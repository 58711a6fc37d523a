/** Imports messages from files: counted first, then stored in the spool and scheduled by a task, each once. */
import { html, nothing } from "lit-html";
import { postMailbox } from "../api.js";
import { followTask, sayTask, withToken } from "../change.js";
import { ask } from "../dialog.js";
import { bytes, count, plural } from "../format.js";
import { toast } from "../toast.js";

/** As the admin takes it at most. */
const maxBytes = 32 * 1024 * 1024;
const shownReasons = 5;

/** @param {() => void} reload */
export async function importMail(reload) {
  const form = await ask({
    title: "Import messages",
    body: html`<p>Each file is one message, or an mbox of ${bytes(maxBytes)} at most; larger ones: <code>postern queue import</code>.
        What was imported before is left alone.</p>
      <label>Files <input type="file" name="files" multiple required accept=".eml,.mbox,message/rfc822,application/mbox,text/plain"></label>
      <label>Sender (empty: the file's own; &lt;&gt; is the null sender) <input name="from" autocomplete="off"></label>
      <label>Recipients, separated by commas (empty: the file's own) <input name="to" autocomplete="off"></label>`,
    confirm: "Count the messages",
  });
  if (form === undefined) return;
  try {
    await importFiles(form, reload);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { bad: true });
  }
}

/** @param {FormData} form @param {() => void} reload */
async function importFiles(form, reload) {
  const files = form.getAll("files").flatMap((file) => (typeof file === "string" ? [] : [file]));
  const large = files.find(({ size }) => size > maxBytes);
  if (large !== undefined)
    throw new Error(
      `${large.name} has ${bytes(large.size)}, more than ${bytes(maxBytes)}: use postern queue import.`,
    );
  const given = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
  const envelope = { from: given("from"), to: given("to") };
  const send = (/** @type {File} */ file, /** @type {Record<string, string>} */ terms) =>
    withToken(() => postMailbox("/api/v1/imports", { ...envelope, name: file.name, ...terms }, file));
  let messages = 0;
  /** @type {string[]} */
  const reasons = [];
  for (const file of files) {
    const counted = await send(file, { dryRun: "true" });
    if (counted === undefined) return;
    messages += counted.changed;
    for (const { id, reason } of counted.skipped) reasons.push(`${file.name}, ${id} ${reason}`);
  }
  if (messages === 0) throw new Error(`Nothing to import: ${reasons[0] ?? "the files have no message"}.`);
  const sure = await ask({
    title: "Import messages",
    body: html`<p><strong>${plural(messages, "message")}</strong> in ${plural(files.length, "file")} will be stored in the spool and are due at once.</p>
      ${reasons.length === 0 ? nothing : leftOut(reasons)}
      <label>Reason, for the log <input name="reason" maxlength="500" autocomplete="off" autofocus></label>`,
    confirm: `Import ${plural(messages, "message")}`,
  });
  if (sure === undefined) return;
  const reason = String(sure.get("reason") ?? "").trim();
  for (const file of files) {
    const started = await send(file, reason === "" ? {} : { reason });
    if (started === undefined) return;
    const task = await followTask(started);
    reload();
    sayTask(
      task,
      "Import",
      task.skipped > 0 ? `is imported, ${count(task.skipped)} left as they are` : "is imported",
    );
  }
}

/** @param {string[]} reasons */
function leftOut(reasons) {
  const hidden = reasons.length - shownReasons;
  return html`<p>${plural(reasons.length, "message")} cannot be imported:</p>
    <ul>${reasons.slice(0, shownReasons).map((each) => html`<li>${each}</li>`)}${hidden > 0 ? html`<li>and ${count(hidden)} more</li>` : nothing}</ul>`;
}
