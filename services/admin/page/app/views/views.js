/** The views by the first word of their address. */
import { configuration } from "./configuration.js";
import { dead } from "./dead.js";
import { destinations } from "./destinations.js";
import { holds } from "./holds.js";
import { message } from "./message.js";
import { overview } from "./overview.js";
import { probe } from "./probe.js";
import { queue } from "./queue.js";
import { tasks } from "./tasks.js";
import { tracking } from "./tracking.js";

/** @type {Record<string, import("../main.js").View> & { overview: import("../main.js").View }} */
export const views = {
  overview,
  queue,
  message,
  destinations,
  holds,
  dead,
  tracking,
  tasks,
  probe,
  configuration,
};
