/** Imports messages from files: stored in the spool and scheduled, each once. */
import { html } from "lit-html";
import { post } from "../api.js";
import { withToken } from "../change.js";
import { ask } from "../dialog.js";
import { plural } from "../format.js";
import { base64, readExport } from "../import-envelope.js";
import { toast } from "../toast.js";

/** @param {() => void} reload */
export async function importMail(reload) {
  const form = await ask({
    title: "Import messages",
    body: html`<p>Each file is one message. It is on stable storage when the page says so; what was imported before is left alone.
        An mbox: <code>postern queue import</code>.</p>
      <label>Files <input type="file" name="files" multiple required accept=".eml,message/rfc822,text/plain"></label>
      <label>Sender (empty: the file's own; &lt;&gt; is the null sender) <input name="from" autocomplete="off"></label>
      <label>Recipients, separated by commas (empty: the file's own) <input name="to" autocomplete="off"></label>`,
    confirm: "Import",
  });
  if (form === undefined) return;
  let queued = 0;
  let known = 0;
  try {
    for (const file of form.getAll("files")) {
      if (typeof file === "string") continue;
      const done = await withToken(async () => post("/api/v1/messages", await bodyOf(file, form)));
      if (done === undefined) break;
      if (done.status === "queued") queued++;
      else known++;
    }
    toast(`${plural(queued, "message")} imported${known > 0 ? `, ${known} known already` : ""}.`);
  } catch (error) {
    toast(
      `${error instanceof Error ? error.message : error} ${plural(queued, "message")} imported before it.`,
      {
        bad: true,
      },
    );
  }
  reload();
}

/** @param {File} file @param {FormData} form */
async function bodyOf(file, form) {
  const message = readExport(new Uint8Array(await file.arrayBuffer()));
  const given = String(form.get("from") ?? "").trim();
  const givenTo = String(form.get("to") ?? "")
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
  const from = given === "" ? message.from : given;
  const to = givenTo.length > 0 ? givenTo : message.to;
  if (from === undefined) throw new Error(`${file.name} does not say who sent it: give the sender.`);
  if (to.length === 0) throw new Error(`${file.name} does not say whom it is for: give the recipients.`);
  const isItsOwn = given === "" && givenTo.length === 0;
  return {
    from: from === "<>" ? "" : from,
    to,
    message: base64(message.octets),
    ...(message.id !== undefined && isItsOwn ? { id: message.id } : {}),
  };
}
