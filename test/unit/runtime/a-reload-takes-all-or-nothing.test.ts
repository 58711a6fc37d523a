import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoadedConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { LiveConfiguration, type ValidConfig } from "../../../shared/runtime/live-configuration.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { testConfig } from "../../support/config.ts";

const valid = (given: Parameters<typeof testConfig>[0] = {}, kept: string[] = []): ValidConfig => ({
  kind: "ok",
  config: testConfig(given),
  file: "postern.yaml",
  text: "",
  warnings: [],
  files: [],
  lists: new Map(),
  kept,
});
const invalid: LoadedConfig = {
  kind: "invalid",
  file: "postern.yaml",
  configErrors: [{ path: "limits.message", line: 7, message: "is not a size" }],
};

function start() {
  const log: Record<string, unknown>[] = [];
  const taken: Config[] = [];
  const state: { next: LoadedConfig; fails: boolean } = { next: valid(), fails: false };
  const live = new LiveConfiguration({
    service: "ingress",
    loaded: valid(),
    load: () => state.next,
    async prepare(config) {
      if (state.fails) throw new Error("cert.pem does not exist");
      return () => void taken.push(config);
    },
    log: createLogger("ingress", { write: (line) => log.push(JSON.parse(line)) }),
  });
  const errors = () => log.filter(({ level }) => level === "error").map(({ message }) => message);
  return { live, state, taken, errors, log };
}

test("a valid configuration is taken, and the log says what has changed", async () => {
  const { live, state, taken, log } = start();
  state.next = valid({ limits: { message: "1MB" }, data: "/elsewhere" });
  const outcome = await live.reload({ kind: "signal" });
  assert.deepEqual(
    [outcome.state, outcome.changed, outcome.restart],
    ["taken", ["limits.message"], ["data"]],
  );
  assert.deepEqual(
    taken.map(({ limits }) => limits.message),
    [1024 ** 2],
  );
  assert.ok(log.some(({ event }) => event === "config.taken"));
  assert.deepEqual(live.warnings(), ["start ingress again for changes of data"]);
});

test("one that is not valid leaves the one before in force; log and health say so until a valid one comes", async () => {
  const { live, state, taken, errors } = start();
  state.next = invalid;
  const outcome = await live.reload({ kind: "signal" });
  assert.deepEqual(
    [outcome.state, outcome.errors],
    ["invalid", ["postern.yaml:7: limits.message: is not a size"]],
  );
  assert.deepEqual(taken, []);
  assert.deepEqual(errors(), [
    "postern.yaml:7: limits.message: is not a size",
    "the configuration before stays in force",
  ]);
  assert.deepEqual(live.warnings(), [
    "the configuration has errors and is not in force: postern.yaml:7: limits.message: is not a size",
  ]);
  state.next = valid();
  await live.reload({ kind: "signal" });
  assert.deepEqual(live.warnings(), []);
});

test("what a valid configuration needs and cannot have leaves the one before in force too", async () => {
  const { live, state, taken } = start();
  state.next = valid({ limits: { message: "1MB" } });
  state.fails = true;
  const outcome = await live.reload({ kind: "signal" });
  assert.deepEqual([outcome.state, outcome.errors], ["failed", ["cert.pem does not exist"]]);
  assert.deepEqual(taken, []);
});

test("a request is checked first, and taken as it was checked", async () => {
  const { live, state, taken } = start();
  state.next = valid({ limits: { message: "1MB" } });
  const checked = await live.reload({ kind: "request", id: "a", phase: "check" });
  assert.deepEqual([checked.state, checked.changed, taken.length], ["checked", ["limits.message"], 0]);
  state.next = invalid;
  const outcome = await live.reload({ kind: "request", id: "a", phase: "take" });
  assert.deepEqual([outcome.state, outcome.request, taken.length], ["taken", "a", 1]);
});

test("what one request has checked is not taken by another", async () => {
  const { live, state, taken } = start();
  state.next = valid({ limits: { message: "1MB" } });
  await live.reload({ kind: "request", id: "a", phase: "check" });
  state.next = valid({ limits: { message: "2MB" } });
  await live.reload({ kind: "request", id: "b", phase: "take" });
  assert.deepEqual(
    taken.map(({ limits }) => limits.message),
    [2 * 1024 ** 2],
  );
});

test("a changed file that cannot be used is named once, and an invalid configuration stays named beside it", async () => {
  const { live, state, taken, errors } = start();
  state.next = invalid;
  await live.reload({ kind: "signal" });
  state.next = valid({}, ["domains.txt:3: is not a domain"]);
  await live.reload({ kind: "files" });
  await live.reload({ kind: "files" });
  assert.equal(taken.length, 2);
  assert.equal(errors().filter((line) => line === "domains.txt:3: is not a domain").length, 1);
  assert.deepEqual(live.warnings(), [
    "the configuration has errors and is not in force: postern.yaml:7: limits.message: is not a size",
    "a changed file is not in force: domains.txt:3: is not a domain",
  ]);
  state.next = valid();
  await live.reload({ kind: "files" });
  assert.equal(live.warnings().length, 1);
});

test("reloads follow one after the other", async () => {
  const { live, state, taken } = start();
  state.next = valid({ limits: { message: "1MB" } });
  const first = live.reload({ kind: "signal" });
  const second = live.reload({ kind: "signal" });
  assert.deepEqual((await first).changed, ["limits.message"]);
  assert.deepEqual((await second).changed, []);
  assert.equal(taken.length, 2);
});
