/** Describes what interception does, for people, and turns its errors into those of a command. */
import { CommandFailed } from "../command-line/command.ts";
import type { Plan } from "./plan.ts";

export function describePlan({ targets, ports, interfaces, fail }: Plan): string {
  if (targets.length === 0)
    return "no port is intercepted; only replies to sessions with hide are routed to this gateway";
  const to = targets.map(
    ({ family, how, listener }) => `${family === "ip" ? "IPv4" : "IPv6"} to ${listener} (${how})`,
  );
  return `TCP ports ${ports.join(", ")} from ${interfaces?.join(", ") ?? "all interfaces but loopback"}: ${to.join(", ")}; fail ${fail}`;
}

/** @throws CommandFailed */
export function orFail<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new CommandFailed((error as Error).message);
  }
}
