/** `postern intercept up`: makes the kernel hand over sessions, as the configuration says. */
import { defineCommand } from "../command-line/command.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { describePlan, orFail } from "./describe-plan.ts";
import { interceptUp } from "./intercept.ts";

export const command = defineCommand({
  usage: "",
  options: {},
  examples: [
    ["after the gateway has started, as root", "intercept up"],
    ["what it would do is in", "intercept show"],
  ],
  async run(context) {
    const { config } = requireConfig(context);
    const plan = orFail(() => interceptUp(config));
    for (const warning of plan.warnings) context.stderr.write(`postern: ${warning}\n`);
    context.stdout.write(`${describePlan(plan)}\n`);
    return 0;
  },
});
