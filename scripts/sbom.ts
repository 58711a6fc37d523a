/** The software bill of materials of a release: what `npm sbom` says in CycloneDX, held against the lock file. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";

interface Component {
  "bom-ref": string;
  name: string;
  version: string;
  purl?: string;
  hashes?: { alg: string; content: string }[];
}

export interface Sbom {
  bomFormat: string;
  metadata: { component: Component };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

export interface LockFile {
  packages: Record<string, LockedPackage>;
}

interface LockedPackage {
  version?: string;
  integrity?: string;
  /** Needed by packages for development only. */
  dev?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** @throws Error when npm cannot make it, or it lacks what the lock file has */
export function makeSbom(root: string): Sbom {
  const text = execFileSync(
    "npm",
    // With --omit=dev npm leaves out packages that a package for development needs, too.
    ["sbom", "--package-lock-only", "--sbom-format=cyclonedx", "--sbom-type=application"],
    { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 * 1024 ** 2 },
  );
  const whole = JSON.parse(text) as Sbom;
  // npm names a package after its directory.
  whole.metadata.component.name = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")).name;
  const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")) as LockFile;
  const sbom = withoutDevelopment(whole, lock);
  const faults = checkSbom(sbom, lock);
  if (faults.length > 0) throw new Error(faults.join("; "));
  return sbom;
}

/** Keeps what an installation has. */
function withoutDevelopment(sbom: Sbom, lock: LockFile): Sbom {
  const kept = new Set(installedPackages(lock).map(({ name }) => name));
  const own = sbom.metadata.component["bom-ref"];
  return {
    ...sbom,
    components: sbom.components.filter((component) => kept.has(component["bom-ref"])),
    dependencies: sbom.dependencies
      .filter(({ ref }) => ref === own || kept.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((each) => kept.has(each)) })),
  };
}

/** The packages of an installation without those for development: `{ name: "yaml@2.9.1", integrity }`. */
function installedPackages(lock: LockFile): { name: string; integrity: string | undefined }[] {
  const installed = namesInstalled(lock);
  return Object.entries(lock.packages)
    .filter(([place, { dev = false }]) => !dev && installed.has(nameOf(place)))
    .map(([place, { version = "", integrity }]) => ({ name: `${nameOf(place)}@${version}`, integrity }));
}

/** @returns one line for each package that an installation has and the bill lacks, or that has another checksum there */
export function checkSbom(sbom: Sbom, lock: LockFile): string[] {
  const faults = sbom.bomFormat === "CycloneDX" ? [] : [`it is ${sbom.bomFormat}, not CycloneDX`];
  const components = new Map(sbom.components.map((component) => [component["bom-ref"], component]));
  for (const { name, integrity } of installedPackages(lock)) {
    const component = components.get(name);
    if (component === undefined) {
      faults.push(`${name} is missing`);
    } else if (component.purl === undefined || !hasChecksum(component, integrity)) {
      faults.push(`${name} has not the checksum of the lock file`);
    }
  }
  return faults;
}

/** What the package itself needs, and what that needs, and so on: the rest is for development, or a peer nobody asks for. */
function namesInstalled({ packages }: LockFile): Set<string> {
  const names = new Set(Object.keys(packages[""]?.dependencies ?? {}));
  // A set iterates over what is added meanwhile.
  for (const name of names) {
    for (const [place, entry] of Object.entries(packages)) {
      if (nameOf(place) !== name || entry.dev) continue;
      for (const needed of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }))
        names.add(needed);
    }
  }
  return names;
}

function nameOf(place: string): string {
  const start = place.lastIndexOf("node_modules/");
  return start < 0 ? "" : place.slice(start + "node_modules/".length);
}

function hasChecksum({ hashes = [] }: Component, integrity = ""): boolean {
  const content = Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
  return content !== "" && hashes.some((hash) => hash.alg === "SHA-512" && hash.content === content);
}

/** Of a release that package.json does not have yet. @returns the text of the file */
export function sbomText(sbom: Sbom, version: string): string {
  const { component } = sbom.metadata;
  const before = component["bom-ref"];
  const text = JSON.stringify(
    { ...sbom, metadata: { ...sbom.metadata, component: { ...component, version } } },
    null,
    2,
  );
  return `${text.replaceAll(`"${before}"`, `"${component.name}@${version}"`).replaceAll(`"pkg:npm/${before}"`, `"pkg:npm/${component.name}@${version}"`)}\n`;
}
