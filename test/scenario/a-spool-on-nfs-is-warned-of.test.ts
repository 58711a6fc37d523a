/** Services and `postern config check` look at what the spool's file system is. The kernel's list of mounts is one of the test's own. */
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort } from "../support/free-port.ts";
import { unlessInstalled, unlessRoot } from "../support/programs.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));
const directory = realpathSync(mkdtempSync(path.join(tmpdir(), "postern-nfs-")));
after(() => rmSync(directory, { recursive: true }));
const mounts = path.join(directory, "mounts");
const configFile = path.join(directory, "postern.yaml");

/** `sh -c` with these words: what follows them runs with that list of mounts, as the same process. */
const within = ["-m", "sh", "-c", 'mount --bind "$0" /proc/$$/mounts && exec "$@"', mounts];

function unlessMounts(): false | string {
  const missing = unlessRoot() || unlessInstalled("unshare");
  if (missing) return missing;
  writeFileSync(mounts, "");
  try {
    execFileSync("unshare", [...within, "true"], { stdio: "ignore" });
    return false;
  } catch {
    return "file systems cannot be mounted here";
  }
}

const where = `nas:/export/mail on ${directory}`;
const warnings = [
  `the spool ${directory}/data/spool is on NFS (${where}): only the services of one host may use it; several read old octets there and lose mail: they need spool.s3`,
  `${directory} is mounted with soft: mail will be lost or damaged when its server is away for a while, since the kernel gives writes up then; mount it with hard, never with soft`,
  `${directory} is mounted with vers=3: only vers=4.1 or later has been tried`,
];

test("a spool on a soft NFS mount of an old version: each of it is a line at the start, and in config check", {
  skip: unlessMounts(),
}, async () => {
  writeFileSync(mounts, `/dev/vda / ext4 rw 0 0\nnas:/export/mail ${directory} nfs rw,vers=3,soft 0 0\n`);
  writeFileSync(
    configFile,
    `hostname: gw.example.net
data: data
listeners: [{ name: a, address: 127.0.0.1, port: ${await freePort()}, destination: self }]
health: { port: 0 }
redis: { url: "redis://127.0.0.1:${await freePort()}/0" }
`,
  );
  const check = ["config", "check", "-c", configFile];
  const { stdout, stderr } = await promisify(execFile)("unshare", [...within, program, ...check]);
  assert.equal(stdout, `${configFile}: ok\n`);
  assert.deepEqual(
    stderr.split("\n").filter((line) => line !== ""),
    warnings.map((line) => `warning: ${line}`),
  );
  const json = await promisify(execFile)("unshare", [...within, program, ...check, "--json"]);
  assert.deepEqual(
    JSON.parse(json.stdout).warnings,
    warnings.map((message) => ({ path: "data", line: 0, message })),
  );

  const child = spawn("unshare", [...within, program, "ingress", "--workers", "1", "-c", configFile], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const logged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const { level, message } = JSON.parse(line);
    if (level === "warn") logged.push(message);
    if (message === "running") child.kill("SIGTERM");
  }
  await ended;
  assert.deepEqual(
    logged.filter((line) => /NFS|mounted/.test(line)),
    warnings,
  );
});
