/** `postern queue retry`: makes deferred messages due now. */
import { changeCommand } from "./change.ts";
import { printHoldHint } from "./hold-hint.ts";

export const command = changeCommand(
  { action: "retry", verb: "Retry", done: "retrying" },
  [
    ["their server is up again", "queue retry --to '*@example.com'"],
    ["everything that is deferred", "queue retry --all --reason 'the line is back'"],
  ],
  printHoldHint,
);
