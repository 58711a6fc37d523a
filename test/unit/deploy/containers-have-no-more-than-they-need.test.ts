/** Every service of the compose files: least privilege, a health check that costs little, time to stop gently. */
import assert from "node:assert/strict";
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { describeConfigErrors, loadConfig } from "../../../shared/config/load.ts";
import { type ComposeService, programsOfImage, readCompose, root } from "../../support/compose.ts";
import { run, unlessInstalled } from "../../support/programs.ts";

const files = ["docker-compose.yml", "deploy/intercept/docker-compose.yml"];

/** What each service may have beyond nothing, and why. */
const capabilities: Record<string, string[]> = {
  // The entrypoint of the image gives /data to the user redis, and becomes that user.
  redis: ["CHOWN", "SETGID", "SETUID"],
  "lab-redis": ["CHOWN", "SETGID", "SETUID"],
  // Transparent sockets; setpriv drops the rest.
  "deploy/intercept/docker-compose.yml ingress": ["NET_ADMIN", "SETGID", "SETPCAP", "SETUID"],
  "deploy/intercept/docker-compose.yml delivery": ["NET_ADMIN", "SETGID", "SETPCAP", "SETUID"],
  // Rules and routes.
  "deploy/intercept/docker-compose.yml intercept": ["NET_ADMIN"],
};

/** Short-lived, or without anything to ask. */
const withoutHealthCheck = new Set([
  "intercept",
  "monitoring-token",
  "lab",
  "lab-dns",
  "lab-protected",
  "lab-one",
  "lab-two",
]);

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
        assert.ok(["postern-health", "redis-cli", "wget"].includes(program), program);
        assert.ok(Number.parseInt(healthcheck.timeout, 10) < Number.parseInt(healthcheck.interval, 10));
      });
    }

    test("services of Postern have time for their grace period", () => {
      for (const [name, service] of Object.entries(readCompose(file).services)) {
        // Twice the grace time of 30 s, and some seconds (docs/operations.md).
        if (service.healthcheck === undefined || !isPostern(service)) continue;
        assert.equal(service.stop_grace_period, "75s", name);
        // The kernel gives the first process of a container no signal that it does not handle yet.
        assert.equal(service.init, true, name);
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

test("without a profile the gateway starts, and with one what belongs to it", () => {
  const { services } = readCompose("docker-compose.yml");
  const of = (profile?: string) =>
    Object.keys(services).filter((name) =>
      profile === undefined
        ? services[name]?.profiles.length === 0
        : services[name]?.profiles.includes(profile),
    );
  assert.deepEqual(of(), ["redis", "ingress", "delivery", "bounce", "admin"]);
  assert.deepEqual(of("ha"), ["haproxy"]);
  assert.deepEqual(of("monitoring"), ["prometheus", "monitoring-token", "grafana"]);
  assert.ok(of("lab").every((name) => name.startsWith("lab")));
});

test("ports are published on loopback, and SMTP where the operator says", () => {
  const { services } = readCompose("docker-compose.yml");
  const ports = Object.values(services).flatMap((service) => service.ports);
  assert.ok(ports.length > 0);
  assert.ok(
    ports.every((port) => port.startsWith("127.0.0.1:")),
    ports.join(),
  );
  assert.deepEqual(services.ingress?.ports, ["127.0.0.1:2525:2525"]);
});

test("with the environment of the profile ha several ingresses have no port in common, and HAProxy has 2525", () => {
  const environment = Object.fromEntries(
    readFileSync(`${root}deploy/ha/compose.env`, "utf8")
      .split("\n")
      .filter((line) => /^\w+=/.test(line))
      .map((line) => line.split("=", 2) as [string, string]),
  );
  const { services } = readCompose("docker-compose.yml", environment);
  assert.deepEqual(services.ingress?.ports, ["127.0.0.1::2525"], "any free port");
  assert.deepEqual(services.haproxy?.ports, ["127.0.0.1:2525:2525"]);
  assert.ok(services.ingress?.volumes.includes("./deploy/ha/postern.yaml:/etc/postern/postern.yaml:ro"));
});

test("several ingresses without a profile need what the page says: a range of ports, or any that are free", () => {
  const page = readFileSync(`${root}docs/deploying.md`, "utf8");
  const [, range = ""] =
    /`POSTERN_SMTP_PORT=(\d+-\d+) docker compose up -d --scale ingress=2`/.exec(page) ?? [];
  const [first = 0, last = 0] = range.split("-").map(Number);
  assert.ok(last > first, "room for more than one");
  const portsWith = (POSTERN_SMTP_PORT: string) =>
    readCompose("docker-compose.yml", { POSTERN_SMTP_PORT }).services.ingress?.ports;
  assert.deepEqual(portsWith(range), [`127.0.0.1:${range}:2525`]);
  assert.deepEqual(portsWith(""), ["127.0.0.1::2525"]);
  // One container alone has the usual port: nobody has to look for it.
  assert.match(
    page,
    /`--scale ingress=2` alone .* "port is already allocated": a published port has one\s+container/,
  );
});

test("every file that a compose file mounts is there", () => {
  for (const [file, directory] of [
    ["docker-compose.yml", ""],
    ["deploy/intercept/docker-compose.yml", "deploy/intercept/"],
  ] as const) {
    for (const [name, { volumes }] of Object.entries(readCompose(file).services)) {
      for (const volume of volumes.filter((each) => each.startsWith("."))) {
        const [from = ""] = volume.split(":");
        assert.ok(existsSync(root + directory + from), `${name} of ${file}: ${from}`);
      }
    }
  }
});

for (const name of readdirSync(`${root}deploy`, { recursive: true, encoding: "utf8" })) {
  if (!/^(ha|lab|intercept)\/postern\.yaml$|^postern\.compose\.yaml$/.test(name)) continue;
  test(`deploy/${name} has no errors`, () => {
    const env = {
      LAB_DNS: "192.0.2.53",
      LAB_PROTECTED: "192.0.2.25",
      LAB_TWO: "192.0.2.20",
      LAB_NETWORK: "192.0.2.0/24",
    };
    const loaded = loadConfig({ file: `${root}deploy/${name}`, env });
    assert.deepEqual(loaded.kind === "ok" ? [] : describeConfigErrors(loaded), []);
  });
}

test("Prometheus takes its configuration", { skip: unlessInstalled("promtool") }, async () => {
  const files = ["deploy/monitoring/prometheus.yaml", "deploy/prometheus/prometheus.yaml"];
  const { code, output } = await run("promtool", [
    "check",
    "config",
    "--syntax-only",
    ...files.map((file) => root + file),
  ]);
  assert.equal(code, 0, output);
});

test("Grafana asks the Prometheus of the same file, and finds the dashboard where it looks", () => {
  const { services } = readCompose("docker-compose.yml");
  const source = parse(readFileSync(`${root}deploy/monitoring/grafana-datasource.yaml`, "utf8"));
  const [datasource] = source.datasources;
  assert.deepEqual([datasource.type, datasource.url], ["prometheus", "http://prometheus:9090"]);
  const providers = parse(readFileSync(`${root}deploy/grafana/provisioning/dashboards/postern.yaml`, "utf8"));
  const { path: directory } = providers.providers[0].options;
  assert.ok(services.grafana?.volumes.includes(`./deploy/grafana/postern.json:${directory}/postern.json:ro`));
});

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
