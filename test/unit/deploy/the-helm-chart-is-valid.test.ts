/** The chart deploy/helm/postern by the real helm, each manifest against its schema, in the variants that people choose. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse, parseAllDocuments, stringify } from "yaml";
import { describeConfigErrors, loadConfig } from "../../../shared/config/load.ts";
import { root } from "../../support/compose.ts";
import { faultsOf, type Manifest } from "../../support/manifests.ts";

const chart = `${root}deploy/helm/postern`;
const helm = findHelm();
const skip = helm === undefined && "helm is not there: sh deploy/helm/fetch.sh says why, or fetches it";

function findHelm(): string | undefined {
  const { stdout } = spawnSync("sh", [`${root}deploy/helm/fetch.sh`, "--cached"], { encoding: "utf8" });
  return stdout.trim() || undefined;
}

const redis = { redis: { existingSecret: "redis" } };
const listener = { name: "transparent", address: "::", port: 10_025, destination: "tproxy" };
const variants: Record<string, object> = {
  default: redis,
  "redis by its URL": { redis: { url: "redis://redis:6379/0" } },
  daemonset: {
    ...redis,
    config: { hostname: "gw.example.net", listeners: [listener], intercept: { ports: [25] } },
    ingress: { kind: "daemonset", nodeSelector: { gateway: "mail" }, tolerations: [{ operator: "Exists" }] },
  },
  keda: {
    ...redis,
    admin: { existingSecret: "token" },
    keda: { enabled: true },
    serviceMonitor: { enabled: true, labels: { release: "prometheus" } },
  },
  "a volume that is there": { ...redis, spool: { existingClaim: "mail" } },
  "a new volume": { ...redis, spool: { storageClassName: "nfs", size: "1Ti" } },
  "a store": {
    ...redis,
    config: {
      hostname: "gw.example.net",
      listeners: [{ ...listener, destination: "self" }],
      spool: { s3: { bucket: "mail", endpoint: "https://s3.example.net" } },
    },
  },
  "everything given": {
    ...redis,
    imagePullSecrets: [{ name: "registry" }],
    extraEnvFrom: [{ secretRef: { name: "passwords" } }],
    networkPolicy: { smtpFrom: [{ ipBlock: { cidr: "198.51.100.0/24" } }] },
    ingress: {
      service: {
        annotations: { "example.com/proxy-protocol": "v2" },
        loadBalancerSourceRanges: ["198.51.100.0/24"],
      },
    },
    podAnnotations: { "example.com/a": "b" },
    podLabels: { team: "mail" },
    serviceAccount: { create: true, name: "mail" },
  },
  "everything off": {
    ...redis,
    ingress: { replicas: 1, service: { type: "ClusterIP" } },
    delivery: { replicas: 1 },
    keda: { enabled: false },
    podDisruptionBudget: { enabled: false },
    networkPolicy: { enabled: false },
    serviceMonitor: { enabled: false },
    serviceAccount: { create: false },
  },
};

interface Rendered {
  status: number | null;
  error: string;
  manifests: Manifest[];
}

function render(values: object, command: "template" | "lint" = "template"): Rendered {
  const directory = mkdtempSync(join(tmpdir(), "postern-helm-"));
  try {
    const file = join(directory, "values.yaml");
    writeFileSync(file, stringify(values));
    const words =
      command === "lint" ? ["lint", "--strict", chart] : ["template", "mail", chart, "-n", "mail"];
    const { status, stdout, stderr } = spawnSync(helm ?? "", [...words, "-f", file], {
      encoding: "utf8",
      env: { HOME: directory, PATH: "" },
    });
    const documents = command === "lint" ? [] : parseAllDocuments(stdout);
    return {
      status,
      error: `${stderr}${command === "lint" ? stdout : ""}`,
      manifests: documents.map((document) => document.toJS() as Manifest).filter((each) => each !== null),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const podOf = ({ spec }: Manifest) => spec.template.spec;
const isWorkload = ({ kind }: Manifest): boolean => kind === "Deployment" || kind === "DaemonSet";

function find(manifests: Manifest[], kind: string, name: string): Manifest {
  const found = manifests.find((each) => each.kind === kind && each.metadata.name === name);
  assert.ok(found, `${kind} ${name} in ${manifests.map((each) => `${each.kind} ${each.metadata.name}`)}`);
  return found;
}

describe("the chart", { skip }, () => {
  for (const [name, values] of Object.entries(variants)) {
    test(`with ${name}: helm lint has nothing to say, and every manifest fits its schema`, async () => {
      const lint = render(values, "lint");
      assert.equal(lint.status, 0, lint.error);
      const { status, error, manifests } = render(values);
      assert.equal(status, 0, error);
      assert.ok(manifests.length >= 8, `${manifests.length} manifests`);
      assert.deepEqual((await Promise.all(manifests.map(faultsOf))).flat(), []);
      const names = manifests.map((each) => `${each.kind} ${each.metadata.name}`);
      assert.equal(new Set(names).size, names.length, "no object twice");
    });

    test(`with ${name}: labels, probes and least privilege are on every pod`, () => {
      const { manifests } = render(values);
      for (const manifest of manifests) {
        for (const label of ["name", "instance", "version", "managed-by", "part-of"])
          assert.ok(manifest.metadata.labels?.[`app.kubernetes.io/${label}`], `${manifest.kind}: ${label}`);
      }
      const workloads = manifests.filter(isWorkload);
      assert.equal(workloads.length, 4);
      for (const workload of workloads) {
        const pod = podOf(workload);
        const transparent = workload.kind === "DaemonSet";
        assert.ok(workload.spec.template.metadata.annotations["checksum/config"]);
        assert.equal(pod.automountServiceAccountToken, false);
        assert.equal(pod.securityContext.runAsNonRoot, !transparent);
        assert.deepEqual(pod.securityContext.seccompProfile, { type: "RuntimeDefault" });
        assert.ok(pod.terminationGracePeriodSeconds >= 75, "twice the grace time of 30 s, and some");
        for (const container of pod.containers) {
          const { securityContext, name: service } = container;
          assert.equal(securityContext.allowPrivilegeEscalation, false);
          assert.equal(securityContext.readOnlyRootFilesystem, true);
          assert.deepEqual(securityContext.capabilities.drop, ["ALL"]);
          assert.equal(securityContext.capabilities.add !== undefined, transparent, service);
          if (service === "intercept") continue;
          assert.equal(container.readinessProbe.httpGet.path, "/health");
          assert.ok(container.livenessProbe && container.startupProbe);
        }
      }
    });

    test(`with ${name}: Postern takes the configuration`, () => {
      const { manifests } = render(values);
      const text = find(manifests, "ConfigMap", "mail-postern").data["postern.yaml"];
      const directory = mkdtempSync(join(tmpdir(), "postern-helm-"));
      try {
        const file = join(directory, "postern.yaml");
        writeFileSync(file, text);
        const env = { POSTERN_REDIS_URL: "redis://redis:6379/0", POSTERN_ADMIN_TOKEN: "a-long-enough-token" };
        const loaded = loadConfig({ file, env });
        assert.deepEqual(loaded.kind === "ok" ? [] : describeConfigErrors(loaded), []);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    });
  }

  test("every reference leads to an object of the chart, or to one that the values name", () => {
    const { manifests } = render({ ...variants.keda });
    const pods = manifests.filter(isWorkload);
    for (const selector of manifests.filter(({ kind }) =>
      ["Service", "PodDisruptionBudget", "ServiceMonitor", "NetworkPolicy"].includes(kind),
    )) {
      const wanted: Record<string, string> =
        selector.spec.selector?.matchLabels ??
        selector.spec.podSelector?.matchLabels ??
        selector.spec.selector;
      const labelled = [
        ...pods.map(({ spec }) => spec.template),
        ...manifests.filter(({ kind }) => kind === "Service"),
      ];
      assert.ok(
        labelled.some(({ metadata }) =>
          Object.entries(wanted).every(([label, value]) => metadata.labels[label] === value),
        ),
        `${selector.kind} ${selector.metadata.name} selects something`,
      );
    }
    const scaled = find(manifests, "ScaledObject", "mail-postern-delivery");
    const target = find(manifests, "Deployment", scaled.spec.scaleTargetRef.name);
    assert.equal(target.spec.replicas, undefined, "KEDA has the number of workers");
  });

  test("KEDA adds workers by depth and by age, with metrics that the admin has", () => {
    const { manifests } = render({ ...variants.keda });
    const { triggers } = find(manifests, "ScaledObject", "mail-postern-delivery").spec;
    const known = readFileSync(`${root}docs/metrics.md`, "utf8");
    const queries: string[] = triggers.map(
      (trigger: { metadata: { query: string } }) => trigger.metadata.query,
    );
    assert.equal(queries.length, 2);
    for (const query of queries) {
      const [metric = ""] = /postern_\w+/.exec(query) ?? [];
      assert.ok(known.includes(`\`${metric}\``), metric);
    }
    assert.match(queries.join(), /postern_queue_jobs.*postern_queue_oldest_seconds/);
  });

  test("with the spool in a store no volume is claimed, else all pods have the same one", () => {
    const claimsOf = (values: object | undefined) => {
      const { manifests } = render({ ...values });
      const volumes = manifests.filter(isWorkload).flatMap((workload) => podOf(workload).volumes);
      return [...manifests, ...volumes].flatMap((each) => {
        if (each.kind === "PersistentVolumeClaim") return [`makes ${each.metadata.name}`];
        return each.persistentVolumeClaim ? [`uses ${each.persistentVolumeClaim.claimName}`] : [];
      });
    };
    const uses = (name: string): string[] => Array(4).fill(`uses ${name}`);
    assert.deepEqual(claimsOf(variants["a store"]), []);
    assert.deepEqual(claimsOf(variants["a volume that is there"]), uses("mail"));
    assert.deepEqual(claimsOf(variants.default), ["makes mail-postern", ...uses("mail-postern")]);
  });

  test("a pod has as many processes as its values say, whatever the node has", () => {
    const argsOf = (values: object, service: string): string[] =>
      podOf(find(render(values).manifests, "Deployment", `mail-postern-${service}`)).containers[0].args;
    assert.deepEqual(argsOf(redis, "ingress"), ["ingress", "--grace", "30s", "--workers", "1"]);
    const two = { ...redis, delivery: { workers: 2 } };
    assert.deepEqual(argsOf(two, "delivery"), ["delivery", "--grace", "30s", "--workers", "2"]);
    assert.deepEqual(argsOf(redis, "bounce"), ["bounce", "--grace", "30s"]);
  });

  test("a store is reached at the port of its endpoint, by the role of the service account", () => {
    const withStore = (endpoint?: string): Manifest[] => {
      const config = {
        hostname: "gw.example.net",
        listeners: [{ ...listener, destination: "self" }],
        spool: { s3: { bucket: "mail", ...(endpoint !== undefined && { endpoint }) } },
      };
      const annotations = { "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/postern" };
      return render({ ...redis, config, serviceAccount: { annotations } }).manifests;
    };
    const ports = (manifests: Manifest[]): number[] =>
      find(manifests, "NetworkPolicy", "mail-postern").spec.egress[1].ports.map(
        ({ port }: { port: number }) => port,
      );
    const always = [25, 465, 587, 443, 6379];
    for (const [endpoint, more] of [
      [undefined, []],
      ["https://s3.example.net", []],
      ["https://s3.example.net:9000/", [9000]],
      ["http://s3.example.net", [80]],
      ["http://[2001:db8::1]:9000", [9000]],
      ["http://[2001:db8::1]", [80]],
    ] as const)
      assert.deepEqual(ports(withStore(endpoint)), [...always, ...more], endpoint);
    assert.deepEqual(find(withStore(), "ServiceAccount", "mail-postern").metadata.annotations, {
      "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/postern",
    });
  });

  test("a changed configuration, or another Redis, makes new pods", () => {
    const checksum = (hostname: string) => {
      const config = { hostname, listeners: [{ ...listener, destination: "self" }] };
      const { manifests } = render({ ...redis, config });
      const pod = find(manifests, "Deployment", "mail-postern-delivery").spec.template;
      return pod.metadata.annotations["checksum/config"];
    };
    assert.notEqual(checksum("a.example.net"), checksum("b.example.net"));
    assert.equal(checksum("a.example.net"), checksum("a.example.net"));
    const ofRedis = (url: string) =>
      find(render({ redis: { url } }).manifests, "Deployment", "mail-postern-delivery").spec.template.metadata
        .annotations["checksum/redis"];
    assert.notEqual(ofRedis("redis://a:6379/0"), ofRedis("redis://b:6379/0"));
  });

  test("values that the chart does not know, or that cannot be, are refused with their names", () => {
    for (const [values, why] of [
      [{ ...redis, delivery: { replica: 3 } }, /replica/],
      [{ ...redis, ingress: { kind: "statefulset" } }, /kind/],
      [{ ...redis, delivery: { workers: 0 } }, /workers/],
      [{ ...redis, config: { hostname: "a.example", listeners: [], redis: {} } }, /listeners|redis/],
      [{}, /redis\.existingSecret or redis\.url/],
      [{ ...redis, serviceMonitor: { enabled: true } }, /admin\.existingSecret/],
    ] as const) {
      const { status, error } = render(values);
      assert.notEqual(status, 0, JSON.stringify(values));
      assert.match(error, why);
    }
  });
});

test("the chart has the version of what it installs", () => {
  const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  const about = parse(readFileSync(`${chart}/Chart.yaml`, "utf8"));
  assert.deepEqual([about.version, about.appVersion], [version, version]);
});

test("the check of manifests finds unknown fields, wrong types, missing fields and unknown kinds", async () => {
  const service: Manifest = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "a", labels: { any: "label" } },
    spec: { selector: { any: "label" }, ports: [{ port: 25, targetPort: "smtp" }] },
  };
  const with_ = (change: object): Manifest => ({ ...service, ...change });
  assert.deepEqual(await faultsOf(service), []);
  assert.match(
    (await faultsOf(with_({ spec: { ...service.spec, selektor: {} } }))).join(),
    /spec\.selektor is unknown/,
  );
  assert.match(
    (await faultsOf(with_({ spec: { ports: [{ port: "25" }] } }))).join(),
    /\/spec\/ports\/0\/port/,
  );
  assert.match((await faultsOf(with_({ spec: { ports: [{}] } }))).join(), /port/);
  assert.match((await faultsOf(with_({ kind: "Servise" }))).join(), /there is no Servise/);
  const scaled: Manifest = {
    apiVersion: "keda.sh/v1alpha1",
    kind: "ScaledObject",
    metadata: { name: "a" },
    spec: { scaleTargetRef: { name: "a" }, triggers: [{ type: "prometheus", metadata: {}, tresholds: 1 }] },
  };
  assert.match((await faultsOf(scaled)).join(), /tresholds is unknown/);
});
