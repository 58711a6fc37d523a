/** A package of npm, made of a copy of the repository and installed in a directory of its own. The test removes it. */
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const repository = fileURLToPath(new URL("../..", import.meta.url));
/** All that a checkout has for those who run it. */
const copied = [
  ...["bin", "deploy", "docs", "scripts", "services", "shared"],
  ...["package.json", "package-lock.json", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"],
];

/** With the Node of this test before any other, and nothing of the repository. */
export const packedEnvironment = {
  ...process.env,
  PATH: `${path.dirname(process.execPath)}:${process.env.PATH?.split(":")
    .filter((directory) => !directory.includes("node_modules"))
    .join(":")}`,
  // Its modules have other paths in each run: in the repository's cache they would stay for nothing.
  NODE_COMPILE_CACHE: undefined,
};

export interface Packed {
  /** Where the test may write. */
  directory: string;
  /** The paths in the package. */
  files: string[];
  /** `PREFIX/lib/node_modules/postern`. */
  installed: string;
  /** `PREFIX/bin/postern`. */
  program: string;
  /** Whether npm installed it; otherwise the registry did not answer and the packages are copies of the repository's. */
  byNpm: boolean;
  remove(): void;
}

/** Runs `npm pack` and `npm install -g`. */
export async function packAndInstall(): Promise<Packed> {
  const directory = mkdtempSync(path.join(tmpdir(), "postern-pack-"));
  const checkout = path.join(directory, "checkout");
  const prefix = path.join(directory, "prefix");
  const installed = path.join(prefix, "lib", "node_modules", "postern");
  const run = async (cwd: string, program: string, ...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(program, args, { cwd, env: packedEnvironment });
    return stdout;
  };
  mkdirSync(checkout);
  for (const name of copied)
    cpSync(path.join(repository, name), path.join(checkout, name), { recursive: true });
  const [pack] = JSON.parse(await run(checkout, "npm", "pack", "--json")) as [
    { filename: string; files: { path: string }[] },
  ];
  const left = readdirSync(checkout).filter((name) => name === "dist" || name === "npm-shrinkwrap.json");
  if (left.length > 0) throw new Error(`npm pack left ${left.join(", ")} behind`);
  const tarball = path.join(checkout, pack.filename);
  const quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0"];
  let byNpm = true;
  try {
    await run(directory, "npm", "install", "--global", "--prefix", prefix, ...quiet, tarball);
  } catch (error) {
    if (!/ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|E40\d|E50\d|ENOTCACHED/.test(String(error)))
      throw error;
    byNpm = false;
    mkdirSync(installed, { recursive: true });
    await run(directory, "tar", "xzf", tarball, "--strip-components=1", "-C", installed);
    copyPackages(installed);
  }
  rmSync(checkout, { recursive: true });
  return {
    directory,
    files: pack.files.map((file) => file.path),
    installed,
    program: byNpm ? path.join(prefix, "bin", "postern") : path.join(installed, "bin", "postern"),
    byNpm,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Copies what the shrinkwrap names; packages for other machines are not there. */
function copyPackages(installed: string): void {
  const lock = JSON.parse(readFileSync(path.join(installed, "npm-shrinkwrap.json"), "utf8")) as {
    packages: Record<string, unknown>;
  };
  for (const name of Object.keys(lock.packages)) {
    // A package brings those below it.
    const isTop = name.lastIndexOf("node_modules/") === 0;
    if (isTop && existsSync(path.join(repository, name)))
      cpSync(path.join(repository, name), path.join(installed, name), { recursive: true });
  }
}
