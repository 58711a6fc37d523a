/** The units of deploy/systemd: what a broken service could do to the machine. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { unlessInstalled } from "../../support/programs.ts";

const directory = fileURLToPath(new URL("../../../deploy/systemd", import.meta.url));
const services = readdirSync(directory).filter((name) => name.endsWith(".service"));
const ofGateway = services.filter((name) => name !== "postern-intercept.service");
const read = (name: string): string => readFileSync(path.join(directory, name), "utf8");

test("the whole gateway and each service has a unit", () => {
  assert.deepEqual(ofGateway.sort(), [
    "postern-admin.service",
    "postern-bounce.service",
    "postern-delivery.service",
    "postern-ingress.service",
    "postern.service",
  ]);
});

for (const name of services) {
  test(`systemd-analyze security finds ${name} below 3`, { skip: unlessInstalled("systemd-analyze") }, () => {
    const output = execFileSync(
      "systemd-analyze",
      ["security", "--offline=true", "--threshold=29", path.join(directory, name)],
      { encoding: "utf8" },
    );
    assert.ok(Number(/Overall exposure level for \S+: ([\d.]+)/.exec(output)?.[1]) < 3, output);
  });
}

for (const name of ofGateway) {
  test(`${name} runs as postern, without capabilities and without core files`, () => {
    const lines = read(name).split("\n");
    for (const line of [
      "User=postern",
      "CapabilityBoundingSet=",
      "NoNewPrivileges=yes",
      "LimitCORE=0",
      "UMask=0077",
    ])
      assert.ok(lines.includes(line), line);
    const service = name === "postern.service" ? "up" : name.slice("postern-".length, -".service".length);
    assert.match(
      read(name),
      new RegExp(`^ExecStart=postern ${service} .*-c /etc/postern/postern\\.yaml$`, "m"),
    );
  });
}

test("units differ only in what they start", () => {
  const common = (name: string) =>
    read(name)
      .split("\n")
      .filter((line) => !/^(#|Description=|After=|ExecStart=)/.test(line))
      .join("\n");
  for (const name of ofGateway) assert.equal(common(name), common("postern.service"), name);
});
