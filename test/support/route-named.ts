/** Routes for tests that only carry them. */
import type { RouteSummary } from "../../shared/routing/route.ts";

/** @param label  as operators would see it */
export function routeNamed(label: string, aliases: string[] = []): RouteSummary {
  return { label, aliases };
}
