/** Changes of mail by the operator: counts first, asks with a reason, runs as a task, says what came of it, offers undo. */
import { html, nothing } from "lit-html";
import { ApiError, get, post, setToken } from "./api.js";
import { ask } from "./dialog.js";
import { plural } from "./format.js";
import { toast } from "./toast.js";

/**
 * @typedef {"retry" | "hold" | "release" | "remove" | "put-back" | "reroute"} Action
 * @typedef {{ ids: string[] } | { filter: Record<string, string> } | { all: true }} Selection
 */

/** @type {Record<Action, { title: string, verb: string, done: string, note: string, danger?: boolean, undo?: Action }>} */
const actions = {
  retry: {
    title: "Retry now",
    verb: "Retry",
    done: "is due now",
    note: "They are tried at once, whatever their schedule says. Held mail stays held.",
  },
  hold: {
    title: "Hold",
    verb: "Hold",
    done: "is held",
    note: "No attempt is made until they are released. A hold of one sender, one domain or of all mail also holds later mail.",
    undo: "release",
  },
  release: {
    title: "Release",
    verb: "Release",
    done: "is released",
    note: "They are due at once.",
    undo: "hold",
  },
  remove: {
    title: "Remove for good",
    verb: "Remove",
    done: "is removed",
    note: "This cannot be undone.",
    danger: true,
  },
  reroute: {
    title: "Reroute",
    verb: "Reroute",
    done: "is rerouted",
    note: "They are due at once, by the new next hop. TLS requirements stay. Reroute to original takes it back.",
  },
  "put-back": {
    title: "Put back into the queue",
    verb: "Put back",
    done: "is queued again",
    note: "They get the schedule and the lifetime of new mail.",
  },
};

/** Asks for a token until the call succeeds or the operator gives up. @template T @param {() => Promise<T>} call */
export async function withToken(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) throw error;
      const form = await ask({
        title: "A token is needed",
        body: html`<p>${error.message}</p>
          <p>Changes need a token with the scope <code>write</code>: one of <code>admin.tokens</code>, or the one in
            <code>data/admin.token</code>. It stays in this tab.</p>
          <label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>`,
        confirm: "Use it",
      });
      if (form === undefined) return undefined;
      setToken(String(form.get("token") ?? "").trim());
    }
  }
}

/**
 * @param {Action} action
 * @param {Selection} selection
 * @param {() => void} [changed]  called when something may have changed
 */
export async function changeMail(action, selection, changed = () => {}) {
  const { title, verb, note, danger = false } = actions[action];
  try {
    const via = action === "reroute" ? await askNextHop() : {};
    if (via === undefined) return;
    const counted = await withToken(() =>
      post(`/api/v1/messages/${action}`, { ...selection, ...via, dryRun: true }),
    );
    if (counted === undefined) return;
    if (counted.changed === 0) {
      const why =
        counted.skipped[0] === undefined ? "" : `: ${counted.skipped[0].id} ${counted.skipped[0].reason}`;
      // A hold is also for mail that comes later.
      if (action !== "hold" || "ids" in selection) {
        toast(`Nothing to do${why}.`, { bad: true });
        return;
      }
    }
    const form = await ask({
      title,
      danger,
      confirm: counted.changed === 1 ? verb : `${verb} ${plural(counted.changed, "message")}`,
      body: html`<p><strong>${plural(counted.changed, "message")}</strong>${skippedNote(counted)}. ${note}</p>
        ${
          action === "hold"
            ? html`<label>Until (empty: until it is released) <input type="datetime-local" name="until"></label>`
            : nothing
        }
        ${
          action === "remove"
            ? html`<label class="check"><input type="checkbox" name="notify"> Send their senders a delivery status notification</label>`
            : nothing
        }
        <label>Reason, for the log <input name="reason" maxlength="500" autocomplete="off" autofocus></label>`,
    });
    if (form === undefined) return;
    await run(action, selection, { ...termsOf(form, action), ...via }, changed);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { bad: true });
  }
}

/** @returns {Promise<{ via: string } | undefined>} */
async function askNextHop() {
  const form = await ask({
    title: "Reroute to which next hop?",
    body: html`<label>A relay host of the configuration, HOST:PORT, <code>mx</code>, or <code>original</code>
      <input name="via" required autocomplete="off" autofocus></label>`,
    confirm: "Count the mail",
  });
  return form && { via: String(form.get("via") ?? "").trim() };
}

/** @param {FormData} form @param {Action} action */
function termsOf(form, action) {
  const reason = String(form.get("reason") ?? "").trim();
  const until = String(form.get("until") ?? "");
  return {
    ...(reason === "" ? {} : { reason }),
    ...(until === "" ? {} : { until: new Date(until).toISOString() }),
    ...(action === "remove" ? { notify: form.get("notify") !== null } : {}),
  };
}

/** @param {{ matched: number, changed: number }} counted */
function skippedNote({ matched, changed }) {
  return matched > changed ? ` (of ${matched}; the others cannot be)` : "";
}

const pollMs = 700;
/** After so long the page of tasks shows the rest. */
const followedMs = 15_000;

/**
 * Waits for a task, for some seconds at most. @param {any} started
 * @returns {Promise<any>} the task as it was seen last
 */
export async function followTask(started) {
  let task = started;
  for (let waitedMs = 0; task.state === "running" && waitedMs < followedMs; waitedMs += pollMs) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    task = await get(`/api/v1/tasks/${encodeURIComponent(task.id)}`);
  }
  return task;
}

/**
 * What came of a task. @param {any} task @param {string} verb
 * @param {string} done  of one message: `is held` @param {{ undo?: () => void }} [options]
 */
export function sayTask(task, verb, done, options = {}) {
  if (task.state === "running") {
    toast(`${verb}: ${plural(task.changed, "message")} so far. The page Tasks shows how it goes on.`);
  } else if (task.state === "done") {
    const text = `${plural(task.changed, "message")} ${task.changed === 1 ? done : done.replace(/^is /, "are ")}.`;
    toast(text, options);
  } else {
    toast(`${verb} ${task.state}: ${task.error ?? "its admin has ended"}.`, { bad: true });
  }
}

/**
 * @param {Action} action
 * @param {Selection} selection
 * @param {Record<string, unknown>} terms
 * @param {() => void} changed
 */
async function run(action, selection, terms, changed) {
  const started = await withToken(() => post("/api/v1/tasks", { action, ...selection, ...terms }));
  if (started === undefined) return;
  const task = await followTask(started);
  const { verb, done, undo } = actions[action];
  changed();
  const back = undo === undefined ? {} : { undo: () => void changeMail(undo, selection, changed) };
  sayTask(task, verb, done, back);
}
