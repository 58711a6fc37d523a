import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";

let admin: TestAdmin;
beforeEach(async () => {
  admin = await startTestAdmin({
    relay: {
      hosts: { isp: { host: "smtp.isp.example", port: 587 }, isp2: { host: "smtp.isp2.example", port: 587 } },
      routes: [{ to: "*", via: "isp" }],
    },
  });
});
afterEach(() => admin.close());

interface Row {
  id: string;
  route: string;
  status: string;
  attempts: number;
}
const rows = async (query = ""): Promise<Row[]> =>
  ((await (await admin.get(`/api/v1/messages${query}`)).json()) as { messages: Row[] }).messages;
const reroute = async (body: object): Promise<Record<string, unknown>> => {
  const answer = await admin.post("/api/v1/messages/reroute", body);
  return (await answer.json()) as Record<string, unknown>;
};
const isp2 = "relay via isp2 (smtp.isp2.example:587)";
const isp = "relay via isp (smtp.isp.example:587)";

test("waiting, deferred and held mail is rerouted, in the spool and in every list", async () => {
  const held = await admin.accept({ to: [["h@example.com"]] });
  const late = await admin.accept({ to: [["d@example.com", "e@example.org"]] });
  await admin.defer("busy");
  await admin.post("/api/v1/messages/hold", { ids: [held.meta.id] });
  const fresh = await admin.accept({ to: [["w@example.com"]] });
  assert.equal((await rows()).length, 3);
  const report = await reroute({ all: true, via: "isp2", reason: "isp is down" });
  assert.deepEqual(
    { ...report, task: "" },
    { matched: 3, changed: 3, skipped: [], unknown: [], underWay: [], task: "" },
  );
  const after = new Map((await rows()).map((row) => [row.id, row]));
  assert.deepEqual(
    [fresh, late, held].map(({ meta }) => after.get(`${meta.id}-0`)?.route),
    [isp2, isp2, isp2],
  );
  assert.equal(after.get(`${held.meta.id}-0`)?.status, "held");
  assert.equal((await rows("?route=isp2")).length, 3);
  const states = await admin.spool.states(late.meta.id, true);
  assert.deepEqual([...states.values()], Array(2).fill({ kind: "pending", via: "isp2" }));
  const [line] = admin.log.filter(({ event }) => event === "message.rerouted");
  assert.deepEqual([line?.via, line?.reason, line?.by], ["isp2", "isp is down", "admin"]);

  await reroute({ filter: { to: "*@example.org" }, via: "original" });
  assert.equal((await rows("?to=e@example.org"))[0]?.route, isp);
  assert.equal((await admin.spool.states(late.meta.id)).size, 0);
});

test("holds follow the new next hop: those of the old one end, those of the new one begin", async () => {
  const { meta } = await admin.accept({ to: [["b@example.com"]] });
  await reroute({ all: true, via: "isp" });
  const hold = (value: string) => admin.post("/api/v1/holds", { kind: "destination", value });
  assert.equal((await hold("isp")).status, 201);
  assert.equal((await rows())[0]?.status, "held");
  await reroute({ ids: [meta.id], via: "isp2" });
  assert.notEqual((await rows())[0]?.status, "held");
  assert.equal((await hold("isp2")).status, 201);
  await reroute({ ids: [meta.id], via: "isp" });
  assert.deepEqual(
    (await rows()).map(({ status, route }) => [status, route]),
    [["held", isp]],
  );
  await admin.holds.remove(["destination:isp"]);
  await reroute({ ids: [meta.id], via: "isp2" });
  assert.deepEqual(
    (await rows()).map(({ status, route }) => [status, route]),
    [["held", isp2]],
  );
});

test("mail that is being delivered goes the new way at its next attempt; dead mail is left alone", async () => {
  const dead = await admin.accept({ from: "" });
  await admin.inspector.remove({ ids: [dead.meta.id] });
  await admin.moveToDead(dead, "user unknown");
  const { meta } = await admin.accept();
  const active = await admin.takeActive();
  const report = await reroute({ all: true, via: "192.0.2.9" });
  assert.deepEqual(report.underWay, [`${meta.id}-0`]);
  assert.deepEqual(report.skipped, [{ id: `${dead.meta.id}-0`, reason: "is dead: put it back instead" }]);
  assert.deepEqual((await admin.spool.states(meta.id)).get(0), { kind: "pending", via: "192.0.2.9:25" });
  await active.letGo({ kind: "done" });
});

test("a next hop that is none is refused, and a dry run changes nothing", async () => {
  const { meta } = await admin.accept();
  for (const via of ["isp3", "a b", "host:port", ""]) {
    const answer = await admin.post("/api/v1/messages/reroute", { all: true, via });
    assert.equal(answer.status, 400, via);
    assert.equal((await admin.post("/api/v1/tasks", { action: "reroute", all: true, via })).status, 400, via);
  }
  assert.equal((await admin.post("/api/v1/tasks", { action: "reroute", all: true })).status, 400);
  assert.equal((await admin.post("/api/v1/tasks", { action: "retry", all: true, via: "mx" })).status, 400);
  const report = await reroute({ all: true, via: "mx", dryRun: true });
  assert.deepEqual([report.matched, report.changed, report.task], [1, 1, null]);
  assert.equal((await admin.spool.states(meta.id)).size, 0);
});
