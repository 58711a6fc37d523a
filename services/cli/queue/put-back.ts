/** `postern queue put-back`: requeues dead messages. */
import { changeCommand } from "./change.ts";

export const command = changeCommand({ action: "put-back", verb: "Requeue", done: "requeued" }, [
  ["notifications that could not be delivered, after the cause is gone", "queue put-back --status dead"],
]);
