/**
 * Checks manifests of Kubernetes against the schemas of kubernetes-models (the API, KEDA, the Prometheus operator), offline.
 * Their validators let unknown fields pass. So each object is handed to them behind a proxy that notes which fields were asked
 * for: one that was not is unknown. An object of which nothing was asked is free-form (annotations, labels) and is left alone.
 */
import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { root } from "./compose.ts";

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: the schemas below are the check
  [field: string]: any;
}

interface Model {
  prototype: { validate(): void };
  new (data: object): object;
}

const packages = ["kubernetes-models", "@kubernetes-models/keda", "@kubernetes-models/prometheus-operator"];

/** @returns a line for each fault */
export async function faultsOf(manifest: Manifest): Promise<string[]> {
  const { apiVersion, kind } = manifest;
  const name = `${kind} ${manifest.metadata?.name}`;
  const model = await modelOf(apiVersion, kind);
  if (model === undefined) return [`${name}: there is no ${kind} in ${apiVersion}`];
  const { proxy, unknown } = watch(manifest);
  const faults: string[] = [];
  try {
    // It checks `this`: a model is what its data is.
    const { validate } = Object.getPrototypeOf(new model({})) as { validate(): void };
    validate.call(proxy);
  } catch (error) {
    const { errors = [error as { message: string }] } = error as {
      errors?: { instancePath?: string; message: string }[];
    };
    for (const each of errors)
      faults.push(`${name}: ${"instancePath" in each ? each.instancePath : ""} ${each.message}`);
  }
  return [...faults, ...unknown().map((field) => `${name}: ${field} is unknown`)];
}

async function modelOf(apiVersion: string, kind: string): Promise<Model | undefined> {
  const groups = apiVersion.includes("/") ? [apiVersion] : [apiVersion, `core/${apiVersion}`];
  for (const file of packages.flatMap((name) =>
    groups.map((group) => `${root}node_modules/${name}/${group}/${kind}.js`),
  )) {
    if (!existsSync(file)) continue;
    const module = await import(pathToFileURL(file).href);
    return module[kind] ?? module.default?.[kind];
  }
  return undefined;
}

/** @returns the proxy, and after the validation the fields that nobody has asked for */
function watch(manifest: Manifest): { proxy: object; unknown(): string[] } {
  const seen: { value: object; where: string; asked: Set<string> }[] = [];
  function wrap(value: object, where: string): object {
    const asked = new Set<string>();
    const children = new Map<string, object>();
    seen.push({ value, where, asked });
    return new Proxy(value, {
      get(target, key, receiver) {
        const child: unknown = Reflect.get(target, key, receiver);
        if (typeof key !== "string") return child;
        asked.add(key);
        if (child === null || typeof child !== "object" || !Object.hasOwn(target, key)) return child;
        const known = children.get(key) ?? wrap(child, `${where}.${key}`);
        children.set(key, known);
        return known;
      },
    });
  }
  return {
    proxy: wrap(manifest, ""),
    unknown: () =>
      seen
        .filter(({ value, asked }) => !Array.isArray(value) && asked.size > 0)
        .flatMap(({ value, where, asked }) =>
          Object.keys(value)
            .filter((key) => !asked.has(key))
            .map((key) => `${where}.${key}`.slice(1)),
        ),
  };
}
