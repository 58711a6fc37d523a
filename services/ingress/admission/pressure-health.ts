/** What an ingress says of itself while there is too much of something. Pure. */
import { type Health, healthOf } from "../../../shared/runtime/health-server.ts";
import type { PressureName } from "./decide-admission.ts";

/**
 * Not ready while it refuses mail. A process that only refuses connections, since it has as many as it may, works: a warning.
 * @param listenerFaults  `undefined` for each that works
 * @param spoolFault      why the spool takes no mail
 */
export function healthUnderPressure(
  listenerFaults: readonly (string | undefined)[],
  spoolFault: string | undefined,
  pressures: ReadonlyMap<PressureName, string>,
): Health {
  const warnings: string[] = [];
  const faults = [...listenerFaults, spoolFault];
  for (const [name, reason] of pressures) {
    if (name === "draining") faults.push(reason);
    else if (name === "connections") warnings.push(`connections are refused: ${reason}`);
    // The spool says so itself.
    else if (name !== "disk-full" || spoolFault === undefined) faults.push(`no mail is accepted: ${reason}`);
  }
  return { ...healthOf(faults), ...(warnings.length > 0 && { warnings }) };
}
