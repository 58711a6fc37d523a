/** `postern queue release`: ends holds. */
import { changeCommand } from "./change.ts";

export const command = changeCommand("release", "released", [
  ["the end of 'queue hold --to', with its rule", "queue release --to '*@example.com'"],
  ["everything that is held", "queue release --all"],
]);
