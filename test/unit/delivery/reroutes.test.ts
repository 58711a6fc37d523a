import assert from "node:assert/strict";
import { test } from "node:test";
import type { Router } from "../../../services/delivery/plan.ts";
import { withReroutes } from "../../../services/delivery/reroutes.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { identifyNextHop, type NextHop } from "../../../shared/routing/next-hop.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { testConfig } from "../../support/config.ts";
import { deferred, runJob } from "./worker-fixture.ts";

const routing = compileRouting(
  testConfig({
    relay: { hosts: { isp2: { host: "smtp.isp2.example", port: 587, tls: "verify" } } },
  }),
);
const meta = {} as MessageMeta;
const table: NextHop = { kind: "mx", domain: "example.com" };
const backup: NextHop = { kind: "mx", domain: "backup.example" };
const router: Router = {
  route: () => ({ row: "relay", nextHop: table }),
  backup: () => backup,
  via: (_, __, via) => routing.nextHopVia(via, "b@Example.org"),
};

test("a rerouted recipient goes by its own next hop, with the TLS of that, in the same row and without a backup", () => {
  for (const [state, label, hasBackup] of [
    [undefined, "mx example.com", true],
    [{ kind: "pending" }, "mx example.com", true],
    [{ kind: "pending", via: "isp2", warned: true }, "isp2 (smtp.isp2.example:587)", false],
    [{ kind: "pending", via: "192.0.2.9:2525" }, "192.0.2.9:2525", false],
    [{ kind: "pending", via: "mx" }, "mx example.org", false],
    // A relay host that has left the configuration.
    [{ kind: "pending", via: "isp3" }, "mx example.com", true],
    [{ kind: "delivered" }, "mx example.com", true],
  ] as [RecipientState | undefined, string, boolean][]) {
    const rerouted = withReroutes(router, new Map(state === undefined ? [] : [[0, state]]));
    const { row, nextHop } = rerouted.route(meta, 0);
    assert.deepEqual([row, identifyNextHop(nextHop).label], ["relay", label]);
    assert.equal(rerouted.backup(meta, 0) !== undefined, hasBackup, label);
    if (nextHop.kind === "relay") assert.equal(nextHop.relay.tls, "verify");
    assert.equal(rerouted.route(meta, 1).nextHop, table);
  }
});

const via: Router["via"] = (_, __, name) => routing.nextHopVia(name, "b@example.com");

test("the attempt goes to the new next hop, and the job carries its route", async () => {
  const rerouted: RecipientState = { kind: "pending", via: "isp2" };
  const { attempts, next } = await runJob({
    states: [[0, rerouted]],
    router: { via },
    answers: { "*": deferred() },
    mayHaveRun: true,
  });
  assert.deepEqual(
    attempts.map(({ nextHop }) => identifyNextHop(nextHop).label),
    ["isp2 (smtp.isp2.example:587)"],
  );
  assert.equal(next?.kind === "later" && next.route.label, "relay via isp2 (smtp.isp2.example:587)");
});

test("a message that is rerouted during an attempt carries the route of the next one", async () => {
  const states = new Map<number, RecipientState>();
  const { attempts, next } = await runJob({
    router: { via },
    states: [],
    answers: (request) => {
      for (const index of request.recipients) states.set(index, { kind: "pending", via: "isp2" });
      return {
        kind: "tried",
        outcomes: new Map(request.recipients.map((index) => [index, deferred()])),
        facts: { destination: "example.com", tries: [], durationMs: 3 },
      };
    },
    statesNow: states,
  });
  assert.equal(attempts.length, 1);
  assert.notEqual(identifyNextHop(attempts[0]?.nextHop ?? table).label, "isp2 (smtp.isp2.example:587)");
  assert.equal(next?.kind === "later" && next.route.aliases[0], "isp2");
});
