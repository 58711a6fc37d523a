/** `postern intercept down`: restores what `postern intercept up` found. */
import { defineCommand } from "../command-line/command.ts";
import { orFail } from "./describe-plan.ts";
import { interceptDown } from "./intercept.ts";

export const command = defineCommand({
  usage: "",
  details: "Touches nothing that others have set up.",
  options: {},
  examples: [["sessions go past the gateway from now on", "intercept down"]],
  async run() {
    orFail(interceptDown);
    return 0;
  },
});
