/** `npm pack` and `npm install -g`, and the Debian package that is made of what they install. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { packedEnvironment as env, type Packed, packAndInstall } from "../support/packed.ts";
import { unlessInstalled } from "../support/programs.ts";
import { waitFor } from "../support/wait-for.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
let packed: Packed;
before(async () => {
  packed = await packAndInstall();
});
after(() => packed?.remove());

/** Runs the installed program away from the repository. */
function postern(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(packed.program, args, {
    cwd: packed.directory,
    encoding: "utf8",
    env,
  });
  return { status, stdout, stderr };
}

test("the package has JavaScript and nothing of the tests", () => {
  const sources = packed.files.filter((file) => /\.ts$|^(test|bench|scripts|services|shared)\//.test(file));
  assert.deepEqual(sources, []);
  for (const file of ["npm-shrinkwrap.json", "bin/postern", "deploy/systemd/postern.service"])
    assert.ok(packed.files.includes(file), file);
  const lock = JSON.parse(readFileSync(path.join(packed.installed, "npm-shrinkwrap.json"), "utf8"));
  assert.deepEqual(
    Object.entries<{ dev?: boolean }>(lock.packages).filter(([, { dev }]) => dev),
    [],
  );
});

test("every file of the source is in the package", () => {
  for (const directory of ["shared", "services"]) {
    const sources = readdirSync(path.join(repository, directory), { recursive: true, encoding: "utf8" });
    for (const source of sources.filter((name) => path.extname(name) !== "")) {
      const file = `dist/${directory}/${source.replace(/\.ts$/, ".js")}`;
      assert.ok(packed.files.includes(file), file);
    }
  }
});

test("the installed program has its version, checks a configuration, and names an error in it", () => {
  const { version } = JSON.parse(readFileSync(path.join(repository, "package.json"), "utf8"));
  assert.deepEqual(postern("--version"), { status: 0, stdout: `postern ${version}\n`, stderr: "" });
  const file = path.join(packed.installed, "deploy", "systemd", "postern.yaml");
  assert.deepEqual(postern("config", "check", "-c", file), {
    status: 0,
    stdout: `${file}: ok\n`,
    stderr: "",
  });
  const list = postern("queue", "list", "-c", file, "--url", "http://127.0.0.1:1");
  assert.deepEqual([list.status, list.stdout], [1, ""]);
});

test("the installed program carries mail: its demo, to the end", async () => {
  const demo = spawn(packed.program, ["demo", "--messages", "1", "--every", "0.1"], {
    cwd: packed.directory,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [demo.stdout, demo.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
    });
  }
  const ended = new Promise<number | null>((resolve) => demo.once("exit", resolve));
  try {
    await waitFor(
      "mail in the demo",
      () => {
        assert.equal(demo.exitCode, null, output);
        return /arrived {2}"Hello Bob" at bob@customer\.example\n/.test(output);
      },
      120_000,
    );
    const [, launcher = ""] = /^ {2}(\S+) queue list$/m.exec(output) ?? [];
    assert.ok(existsSync(path.resolve(packed.directory, launcher)), output);
    demo.kill("SIGINT");
    assert.equal(await ended, 0, output);
  } finally {
    demo.kill("SIGTERM");
  }
});

test("the Debian package has the program, the units, the user and the directories", {
  skip: unlessInstalled("dpkg-deb"),
}, async (t) => {
  const build = path.join(repository, "deploy", "debian", "build.sh");
  const output = path.join(packed.directory, "debian");
  execFileSync("sh", [build, "--from", packed.installed, output], {
    env: { ...env, POSTERN_DEB_COMPRESSION: "none" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const [name = ""] = readdirSync(output);
  assert.match(name, /^postern_\d+\.\d+\.\d+_\w+\.deb$/);
  const deb = path.join(output, name);
  const contents = execFileSync("dpkg-deb", ["--contents", deb], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 ** 2,
  });
  assert.deepEqual(
    contents.split("\n").filter((line) => line !== "" && !/^\S+ root\/root /.test(line)),
    [],
    "everything belongs to root",
  );
  assert.match(contents, /^-rw-r----- .* \.\/etc\/postern\/postern\.yaml$/m);
  for (const service of ["postern", "postern-ingress", "postern-delivery", "postern-bounce", "postern-admin"])
    assert.match(contents, new RegExp(`\\./usr/lib/systemd/system/${service}\\.service$`, "m"));
  assert.equal(
    execFileSync("dpkg-deb", ["--field", deb, "Depends"], { encoding: "utf8" }).split(",")[0],
    "nodejs (>= 24)",
  );

  const tree = path.join(packed.directory, "tree");
  mkdirSync(tree);
  execFileSync("dpkg-deb", ["--raw-extract", deb, tree]);
  for (const script of ["postinst", "prerm", "postrm"])
    execFileSync("sh", ["-n", path.join(tree, "DEBIAN", script)]);
  assert.equal(readFileSync(path.join(tree, "DEBIAN", "conffiles"), "utf8"), "/etc/postern/postern.yaml\n");

  await t.test("its program runs", () => {
    const program = path.join(tree, "usr", "bin", "postern");
    assert.equal(readlinkSync(program), "../lib/postern/bin/postern");
    const file = path.join(tree, "etc", "postern", "postern.yaml");
    const { status, stderr } = spawnSync(program, ["config", "check", "-c", file], {
      cwd: "/",
      encoding: "utf8",
      env,
    });
    assert.deepEqual([status, stderr], [0, ""]);
  });

  await t.test(
    "systemd makes its user and directories",
    {
      skip:
        unlessInstalled("systemd-sysusers", "systemd-tmpfiles") || (process.getuid?.() !== 0 && "needs root"),
    },
    () => {
      execFileSync("systemd-sysusers", [`--root=${tree}`], { stdio: "pipe" });
      assert.match(
        readFileSync(path.join(tree, "etc", "passwd"), "utf8"),
        /^postern:x:\d+:\d+:.*:\/var\/lib\/postern:\/usr\/sbin\/nologin$/m,
      );
      execFileSync("systemd-tmpfiles", [`--root=${tree}`, "--create", "postern.conf"], { stdio: "pipe" });
      const mode = (...where: string[]) =>
        execFileSync("stat", ["-c", "%a", path.join(tree, ...where)], { encoding: "utf8" }).trim();
      assert.deepEqual(
        [mode("var", "lib", "postern"), mode("etc", "postern"), mode("etc", "postern", "postern.yaml")],
        ["700", "750", "640"],
      );
    },
  );

  await t.test("lintian finds no error", { skip: unlessInstalled("lintian") }, () => {
    const { status, stdout } = spawnSync("lintian", ["--fail-on", "error", deb], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  });
});
