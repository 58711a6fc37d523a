/** `postern queue put-back`: requeues dead messages. */
import { changeCommand } from "./change.ts";

export const command = changeCommand("put-back", "requeued", [
  ["notifications that could not be delivered, after the cause is gone", "queue put-back --status dead"],
]);
