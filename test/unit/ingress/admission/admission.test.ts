import assert from "node:assert/strict";
import { test } from "node:test";
import { createAdmission } from "../../../../services/ingress/admission/admission.ts";
import { createLogger } from "../../../../shared/runtime/log.ts";
import { createMemoryMeter } from "../../../../shared/runtime/memory-meter.ts";
import { testConfig } from "../../../support/config.ts";
import { waitFor } from "../../../support/wait-for.ts";

test("while memory is short connections and messages are refused and garbage is collected, until there is enough", async (t) => {
  let share = 0.9;
  let collections = 0;
  const events: unknown[] = [];
  const admission = createAdmission({
    limits: testConfig().limits,
    spool: { pressure: () => ({ freeBytes: Number.POSITIVE_INFINITY, latencyMs: 0 }) },
    log: createLogger("test", { write: (line) => events.push(JSON.parse(line).event) }),
    memory: {
      share: () => share,
      collectGarbage() {
        if (++collections === 2) share = 0.1;
      },
    },
    measureEveryMs: 5,
  });
  t.after(() => admission.close());
  assert.equal(admission.refuseConnection(), true);
  assert.equal(admission.refuseMail(0)?.wire.slice(0, 9), "452 4.3.1");
  assert.equal(admission.pressures().get("memory"), "this process uses 90 % of the memory that it may have");
  await waitFor("memory to be enough", () => admission.refuseMail(0) === undefined);
  assert.equal(collections, 2);
  assert.equal(admission.refuseConnection(), false);
  assert.deepEqual(events, ["pressure.begin", "pressure.end"]);
});

test("the memory in use goes down when what took it is collected", () => {
  const meter = createMemoryMeter();
  meter.collectGarbage();
  const before = meter.share();
  let buffers: Buffer[] | undefined = Array.from({ length: 64 }, () => Buffer.alloc(2 ** 20));
  const during = meter.share();
  assert.ok(during > before && during < 1 && buffers.length === 64);
  buffers = undefined;
  meter.collectGarbage();
  assert.ok(meter.share() < during);
});
