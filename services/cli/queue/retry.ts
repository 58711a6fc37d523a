/** `postern queue retry`: makes deferred messages due now. */
import { changeCommand } from "./change.ts";

export const command = changeCommand("retry", "retrying", [
  ["their server is up again", "queue retry --to '*@example.com'"],
  ["everything that is deferred", "queue retry --all"],
]);
