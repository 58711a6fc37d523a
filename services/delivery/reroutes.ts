/** Routing with the next hops that operators chose for single recipients (`postern queue reroute`). Pure. */
import type { RecipientState } from "../../shared/spool/recipient-state.ts";
import type { Router } from "./plan.ts";

type States = ReadonlyMap<number, RecipientState>;

/**
 * The router for one message. A rerouted recipient keeps its row, and has no backup: an operator has decided. What names
 * nothing any more, such as a relay host that left the configuration, does not count.
 * @param states  by recipient index
 */
export function withReroutes(router: Router, states: States): Router {
  const hopOf: Router["backup"] = (meta, recipient) => {
    const via = viaOf(states, recipient);
    return via === undefined ? undefined : router.via(meta, recipient, via);
  };
  return {
    ...router,
    route(meta, recipient) {
      const route = router.route(meta, recipient);
      const nextHop = hopOf(meta, recipient);
      return nextHop === undefined ? route : { row: route.row, nextHop };
    },
    backup: (meta, recipient) =>
      hopOf(meta, recipient) === undefined ? router.backup(meta, recipient) : undefined,
  };
}

/** What an operator chose for a recipient that is pending. */
export function viaOf(states: States, recipient: number): string | undefined {
  const state = states.get(recipient);
  return state?.kind === "pending" ? state.via : undefined;
}
