/** `postern intercept show`: what is up, and what is missing. */
import { defineCommand } from "../command-line/command.ts";
import { requireConfig } from "../command-line/common-options.ts";
import { describePlan, orFail } from "./describe-plan.ts";
import { interceptStatus } from "./intercept.ts";

export const command = defineCommand({
  usage: "[--json]",
  options: { json: { type: "boolean", help: "print { isUp, missing, plan, wanted, table, sysctls }" } },
  examples: [
    ["what is up, and the rules", "intercept show"],
    ["in a script: does something else have to be repaired?", "intercept show --json"],
  ],
  async run(context, { json }) {
    const { config } = requireConfig(context);
    const status = orFail(() => interceptStatus(config));
    if (json) {
      context.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
      return status.isUp ? 0 : 1;
    }
    const lines = [
      `${status.isUp ? "up" : "not up"}: ${describePlan(status.plan)}`,
      ...status.missing.map((item) => `missing: ${item}`),
      ...Object.entries(status.sysctls).map(
        ([name, value]) => `changed: net/${name}, to be restored to ${value}`,
      ),
      status.table ?? status.wanted,
    ];
    context.stdout.write(`${lines.join("\n").trimEnd()}\n`);
    return status.isUp ? 0 : 1;
  },
});
