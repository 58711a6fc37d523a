/** Every service of the compose files: least privilege, a health check that costs little, time to stop gently. */
import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { describe, test } from "node:test";
import { type ComposeService, programsOfImage, readCompose } from "../../support/compose.ts";

const files = ["docker-compose.yml", "deploy/intercept/docker-compose.yml"];

/** What each service may have beyond nothing, and why. */
const capabilities: Record<string, string[]> = {
  // The entrypoint of the image gives /data to the user redis, and becomes that user.
  redis: ["CHOWN", "SETGID", "SETUID"],
  // Transparent sockets; setpriv drops the rest.
  "deploy/intercept/docker-compose.yml ingress": ["NET_ADMIN", "SETGID", "SETPCAP", "SETUID"],
  "deploy/intercept/docker-compose.yml delivery": ["NET_ADMIN", "SETGID", "SETPCAP", "SETUID"],
  // Rules and routes.
  "deploy/intercept/docker-compose.yml intercept": ["NET_ADMIN"],
};

/** Short-lived, or without anything to ask. */
const withoutHealthCheck = new Set(["intercept"]);

for (const file of files) {
  describe(file, () => {
    for (const [name, service] of Object.entries(readCompose(file).services)) {
      test(`${name} has no more than it needs`, () => {
        assert.equal(service.read_only, true, "a read-only root");
        assert.deepEqual(service.cap_drop, ["ALL"]);
        assert.deepEqual(
          service.cap_add.toSorted(),
          capabilities[`${file} ${name}`] ?? capabilities[name] ?? [],
        );
        assert.deepEqual(service.security_opt, ["no-new-privileges:true"]);
        assert.equal(service.privileged, false);
        assert.equal(isRoot(service), service.cap_add.length > 0, "root is for those with capabilities only");
        assert.ok(
          service.volumes.every((volume) => !volume.includes("docker.sock")),
          "nobody governs Docker",
        );
      });

      if (withoutHealthCheck.has(name)) continue;
      test(`${name} has a health check that starts no Node`, () => {
        const { healthcheck } = service;
        assert.ok(healthcheck, "a health check");
        const [kind, program = ""] = healthcheck.test;
        assert.equal(kind, "CMD", "no shell between");
        assert.ok(["postern-health", "redis-cli"].includes(program), program);
        assert.ok(Number.parseInt(healthcheck.timeout, 10) < Number.parseInt(healthcheck.interval, 10));
      });
    }

    test("services of Postern have time for their grace period", () => {
      for (const [name, service] of Object.entries(readCompose(file).services)) {
        // Twice the grace time of 30 s, and some seconds (docs/operations.md).
        if (isPostern(service) && name !== "intercept") assert.equal(service.stop_grace_period, "75s", name);
      }
    });

    test("files that services write to stay, or are in memory", () => {
      for (const [name, service] of Object.entries(readCompose(file).services)) {
        const health = [service.command ?? []]
          .flat()
          .join(" ")
          .match(/--health-file (\S+)\//)?.[1];
        if (health === undefined) continue;
        const mount = service.tmpfs.find((each) => each.startsWith(`${health}:`));
        assert.ok(mount, `${name} has ${health} in memory`);
        assert.match(mount, /uid=1000,gid=1000/, "which belongs to the user of the image");
      }
    });
  });
}

test("the programs of the image may be run", () => {
  const programs = [...programsOfImage().values()];
  assert.ok(programs.some((program) => program.endsWith("health-check.sh")));
  for (const program of programs) accessSync(program, constants.X_OK);
});

/** Docker takes the user of the image: `node` of ours, root of Redis. */
function isRoot(service: ComposeService): boolean {
  return service.user === undefined ? !isPostern(service) : service.user.startsWith("0:");
}

function isPostern({ image }: ComposeService): boolean {
  return image.startsWith("postern:");
}
